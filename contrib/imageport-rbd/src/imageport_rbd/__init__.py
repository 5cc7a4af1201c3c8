"""A store of Imageport that keeps images as RBD images in Ceph."""
