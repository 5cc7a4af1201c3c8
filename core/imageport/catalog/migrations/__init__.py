"""The steps from one revision of the tables to the next, and their runner."""
