"""Control mathematics: no ROS, no clock, no input or output. Time is always an argument."""
