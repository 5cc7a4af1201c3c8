"""The one way to the network: judged urls, checked addresses, pinned connections."""
