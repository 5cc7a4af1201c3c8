"""Plugin of Imageport that creates images in the Glance of an OpenStack."""
