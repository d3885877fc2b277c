"""Protocol -> clips -> generated frames -> metrics -> one result file a clip."""
