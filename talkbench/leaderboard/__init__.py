"""Results to tables: json, md, csv, html; ranking and the regression check."""
