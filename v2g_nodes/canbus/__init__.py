"""The EK3 CAN-FD bus: wire contract, protection, link. No ROS."""
