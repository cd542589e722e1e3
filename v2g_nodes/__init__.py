"""ROS 2 control stack for vehicle-to-grid charging stations made of EK3 power modules."""

import pkgutil

# In a source checkout this folder hides the installed package that carries the generated
# messages (v2g_nodes.msg); extending the path lets both be found.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = "0.1.0"
