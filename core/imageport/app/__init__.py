"""Work on images and sites outside of imports."""
