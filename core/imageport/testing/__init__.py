"""Tools for tests of plugins, and of programs that use Imageport. Nothing that imports run needs them."""
