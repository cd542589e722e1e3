"""What stands in for the world: module plant, grid, lossy network, recorded series."""
