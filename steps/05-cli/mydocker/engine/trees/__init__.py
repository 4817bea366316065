"""The files of a container or a layer: seen merged, and packed."""
