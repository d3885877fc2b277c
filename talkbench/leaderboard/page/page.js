"use strict";
// Sorting, filters, scatter plots and landmarks. All text goes in through textContent: names are never read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const FPS = 25;
const SCALE = 10000, NOWHERE = -32768; // as footage.py packs landmarks
const LINES = [[0, 16], [17, 21], [22, 26], [27, 30], [31, 35], [36, 41, 1], [42, 47, 1], [48, 59, 1], [60, 67, 1]];

const all = (root, what) => [...root.querySelectorAll(what)];
const say = (text) => { document.getElementById("status").textContent = text; };

function svg(tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

// ------------------------------------------------------------------------------------------ tables

// First click: best first (names: A first). Second: the other way. Third: the ranking's order again.
function sort(head) {
  const row = head.parentElement, body = head.closest("table").tBodies[0];
  const column = [...row.children].indexOf(head), better = head.dataset.better;
  const first = better === "higher" ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const before = head.getAttribute("aria-sort");
  const now = before === "none" ? first : before === first ? second : "none";
  for (const other of row.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", now);
  const sign = now === "descending" ? -1 : 1;
  const value = (line) => {
    const cell = line.children[column];
    return better === "text" ? cell.textContent.trim().toLowerCase() : cell.dataset.value;
  };
  const order = (a, b) => Number(a.dataset.order) - Number(b.dataset.order);
  const lines = [...body.rows].sort((a, b) => {
    const one = value(a), two = value(b);
    if (now === "none" || one === two) return order(a, b);
    if (one === undefined) return 1; // what was not measured stays below, whatever the direction
    if (two === undefined) return -1;
    return sign * (better === "text" ? one.localeCompare(two) : Number(one) - Number(two)) || order(a, b);
  });
  body.append(...lines);
  const name = head.querySelector("button").title.split(":")[0];
  say(now === "none" ? "in the order of the ranking" : `sorted by ${name}, ${now}`);
}

function filter(task) {
  const form = task.querySelector(":scope > form.filters");
  const scope = form.elements.track.value, text = form.elements.text.value.trim().toLowerCase();
  const baselines = form.elements.baselines.checked;
  const fits = (track, kind, name) =>
    (kind === "baseline" ? baselines : scope === "all" || track === scope) && name.toLowerCase().includes(text);
  let count = 0;
  for (const row of all(task, ".board tbody tr")) {
    row.hidden = !fits(row.dataset.track, row.dataset.kind, row.querySelector("th a").textContent);
    count += !row.hidden;
  }
  for (const cell of all(task, ".board td[data-best]")) {
    const best = cell.dataset.best.split(" ").includes(scope);
    cell.classList.toggle("best", best);
    cell.querySelector(".bestword").hidden = !best;
  }
  for (const mark of all(task, ".board .mark")) mark.hidden = mark.dataset.scope !== scope;
  const off = new Set(all(form, "[name=group]:not(:checked)").map((box) => box.value));
  for (const cell of all(task, ".board [data-group]")) cell.hidden = off.has(cell.dataset.group);
  for (const figure of all(task, ".gallery figure[data-kind]")) {
    const { kind, track, name } = figure.dataset;
    figure.hidden = kind !== "real" && !fits(track, kind, name);
    if (figure.hidden) figure.querySelector("video")?.pause();
  }
  say(`${count} rows`);
}

// ------------------------------------------------------------------------------------------ scatter

function ticks(low, high) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(Number((at * step).toPrecision(6)));
  return found;
}

function scatter(section) {
  const data = JSON.parse(section.querySelector("script").textContent);
  const form = section.querySelector("form"), plot = section.querySelector(".plot");
  const metric = data.metrics[form.elements.metric.value];
  const [x, y] = ["x", "y"].map((axis) => data.rows[form.elements[axis].value]);
  const points = data.clips
    .map((clip, i) => ({ clip, x: x.values[metric.key][i], y: y.values[metric.key][i] }))
    .filter((point) => point.x !== null && point.y !== null);
  const said = section.querySelector("p");
  plot.replaceChildren();
  if (!points.length) { said.textContent = `No clip has ${metric.name} in both rows.`; return; }
  const values = points.flatMap((point) => [point.x, point.y]);
  let low = Math.min(...values), high = Math.max(...values);
  const air = (high - low || Math.abs(high) || 1) * 0.06;
  low -= air; high += air;
  const side = 400, left = 64, top = 12, size = side - left - top;
  const across = (v) => left + ((v - low) / (high - low)) * size, up = (v) => top + size - ((v - low) / (high - low)) * size;
  const wins = points.filter((p) => (metric.better === "higher" ? p.y > p.x : p.y < p.x)).length;
  const ties = points.filter((p) => p.y === p.x).length;
  said.textContent =
    `${metric.name} (${metric.better} is better) of ${points.length} clips: ${y.name} is better in ${wins}, ` +
    `${x.name} in ${points.length - wins - ties}${ties ? `, alike in ${ties}` : ""}.`;
  const picture = svg("svg", { viewBox: `0 0 ${side} ${side}`, role: "img" });
  picture.append(svg("title", {}, `${metric.name} clip by clip: ${x.name} across, ${y.name} up`));
  picture.append(svg("path", { class: "axis", d: `M${left} ${top}V${top + size}H${left + size}` }));
  picture.append(svg("path", { class: "even", d: `M${left} ${top + size}L${left + size} ${top}` }));
  for (const tick of ticks(low, high)) {
    picture.append(svg("text", { x: across(tick), y: top + size + 16, "text-anchor": "middle" }, String(tick)));
    picture.append(svg("text", { x: left - 6, y: up(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  picture.append(svg("text", { x: left + size / 2, y: side - 8, "text-anchor": "middle" }, x.name));
  const turned = `rotate(-90 12 ${top + size / 2})`;
  picture.append(svg("text", { x: 12, y: top + size / 2, "text-anchor": "middle", transform: turned }, y.name));
  for (const point of points) {
    const dot = svg("circle", { cx: across(point.x).toFixed(1), cy: up(point.y).toFixed(1), r: 4 });
    dot.append(svg("title", {}, `${point.clip}: ${point.x} across, ${point.y} up`));
    picture.append(dot);
  }
  plot.append(picture);
}

// ------------------------------------------------------------------------------------------ gallery

const landmarks = {}; // {address of the script: {number of the tile: Int16Array}}

globalThis.talkbenchLandmarks = (address, packed) => {
  landmarks[address] = {};
  for (const [number, text] of Object.entries(packed)) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), view = new DataView(bytes.buffer);
    landmarks[address][number] = Int16Array.from({ length: bytes.length / 2 }, (_, i) => view.getInt16(2 * i, true));
  }
};

// Loaded when they are first wanted; a script, since a page on a disk may not fetch.
function loadLandmarks(clip) {
  const address = clip.dataset.landmarks;
  if (landmarks[address]) return Promise.resolve();
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = done;
    script.onerror = () => failed(new Error(`${address} could not be read`));
    document.head.append(script);
  });
}

function outline(points, frame, shift = 0) {
  const at = (i) => 136 * frame + 2 * i;
  if (!points || points[at(0)] === undefined || points[at(0)] === NOWHERE) return "";
  return LINES.map(([first, last, closed]) => {
    const line = [];
    for (let i = first; i <= last; i++) line.push(`${points[at(i)] + shift} ${points[at(i) + 1]}`);
    return `M${line.join("L")}${closed ? "Z" : ""}`;
  }).join("");
}

// The layer for landmarks over a figure's picture; `wide`: pictures side by side.
function layer(figure, wide) {
  let drawing = figure.querySelector(".screen svg");
  if (!drawing) {
    const box = `0 0 ${SCALE * wide} ${Math.round(SCALE * figure.dataset.aspect)}`;
    drawing = svg("svg", { viewBox: box, "aria-hidden": "true" });
    drawing.append(svg("path", { class: "real" }), svg("path", { class: "own" }));
    figure.querySelector(".screen").append(drawing);
  }
  return drawing;
}

function drawFigure(clip, figure, frames) {
  const form = clip.querySelector("form"), known = landmarks[clip.dataset.landmarks] || {};
  const drawing = layer(figure, frames.length);
  const fits = figure.dataset.cut === undefined; // another cut of the clip has its face elsewhere
  const real = fits ? clip.querySelector("figure[data-kind=real]")?.dataset.points : undefined;
  for (const [name, number] of [["own", figure.dataset.points], ["real", real]]) {
    const points = form.elements[name].checked ? known[number] : undefined;
    drawing.querySelector(`.${name}`).setAttribute("d", frames.map((f, i) => outline(points, f, i * SCALE)).join(""));
  }
}

function drawVideo(clip, figure, time) {
  drawFigure(clip, figure, [Math.max(0, Math.floor(time * FPS + 0.01))]);
}

async function overlays(clip) {
  const form = clip.querySelector("form");
  try {
    if (form.elements.own.checked || form.elements.real.checked) await loadLandmarks(clip);
  } catch (error) {
    say(error.message);
    return;
  }
  for (const figure of all(clip, ".tiles figure[data-kind]")) {
    drawVideo(clip, figure, figure.querySelector("video").currentTime);
  }
  const frames = clip.dataset.frames.split(",").filter(Boolean).map(Number);
  if (frames.length) for (const figure of all(clip, ".strips figure")) drawFigure(clip, figure, frames);
}

function follow(clip, figure) {
  const video = figure.querySelector("video");
  const now = (time) => drawVideo(clip, figure, time);
  if (video.requestVideoFrameCallback) {
    const next = (_, frame) => { now(frame.mediaTime); video.requestVideoFrameCallback(next); };
    video.requestVideoFrameCallback(next);
  } else {
    video.addEventListener("timeupdate", () => now(video.currentTime));
    video.addEventListener("seeked", () => now(video.currentTime));
  }
}

function sound(clip) {
  const heard = clip.querySelector("form").elements.sound.value;
  all(clip, "video").forEach((video, number) => { video.muted = heard === "" || Number(heard) !== number; });
}

// The browser's own controls lie over chin and mouth: a button below takes their place.
function control(figure) {
  const video = figure.querySelector("video"), button = document.createElement("button");
  const label = () => {
    button.textContent = video.paused ? "Play" : "Pause";
    button.setAttribute("aria-label", `${button.textContent} ${figure.dataset.name}`);
  };
  button.type = "button";
  button.addEventListener("click", () => {
    if (!video.paused) return video.pause();
    video.muted = false;
    video.play().catch((error) => say(`${figure.dataset.name} does not play: ${error.message}`));
  });
  video.addEventListener("click", () => button.click());
  for (const event of ["play", "pause"]) video.addEventListener(event, label);
  video.controls = false;
  label();
  figure.querySelector("figcaption").append(button);
}

async function playAll(clip, button) {
  const videos = all(clip, "figure:not([hidden]) video");
  if (button.textContent === "Pause all") {
    videos.forEach((video) => video.pause());
    button.textContent = "Play all";
    return;
  }
  button.textContent = "Pause all";
  sound(clip);
  const speed = Number(clip.querySelector("form").elements.speed.value);
  for (const video of videos) { // the default too: loading goes back to it
    video.preload = "auto"; video.defaultPlaybackRate = video.playbackRate = speed;
  }
  const ready = (video) => new Promise((done) => {
    if (video.readyState >= 3) return done();
    video.addEventListener("canplay", done, { once: true });
    video.addEventListener("error", done, { once: true });
    video.load();
  });
  await Promise.all(videos.map(ready)); // together, or mouths that agree seem not to
  if (button.textContent !== "Pause all") return;
  const started = await Promise.allSettled(videos.map((video) => { video.currentTime = 0; return video.play(); }));
  const failed = started.filter((one) => one.status === "rejected" && one.reason.name !== "AbortError").length;
  say(failed ? `${failed} of ${videos.length} videos do not play in this browser` : `${videos.length} videos play`);
}

// ------------------------------------------------------------------------------------------ start

for (const head of all(document, ".board thead th")) {
  head.querySelector("button").addEventListener("click", () => sort(head));
}
for (const task of all(document, ".task")) {
  const form = task.querySelector(":scope > form.filters");
  form.addEventListener("input", () => filter(task));
  filter(task);
}
for (const section of all(document, ".scatter")) {
  section.querySelector("form").addEventListener("input", () => scatter(section));
  scatter(section);
}
for (const clip of all(document, ".clip")) {
  const form = clip.querySelector("form"), button = form.elements.play;
  button.addEventListener("click", () => playAll(clip, button));
  form.elements.own.addEventListener("input", () => overlays(clip));
  form.elements.real.addEventListener("input", () => overlays(clip));
  form.elements.sound.addEventListener("input", () => sound(clip));
  form.elements.speed.addEventListener("input", () => {
    for (const video of all(clip, "video")) video.playbackRate = Number(form.elements.speed.value);
  });
  for (const figure of all(clip, ".tiles figure[data-kind]")) { follow(clip, figure); control(figure); }
  clip.addEventListener("toggle", () => {
    if (clip.open) return;
    for (const video of all(clip, "video")) video.pause();
    button.textContent = "Play all";
  });
}
for (const form of all(document, "form")) form.addEventListener("submit", (event) => event.preventDefault());

function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.querySelector("summary").focus(); }
}
addEventListener("hashchange", unfold);
unfold();
say("");
