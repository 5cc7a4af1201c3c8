"""What is done to images and sites outside of imports."""
