"""The steps of the schema, oldest first: one for each change of the tables."""
