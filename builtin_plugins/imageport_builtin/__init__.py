"""The plugins that come with Imageport. They use its public names only, as all plugins do."""
