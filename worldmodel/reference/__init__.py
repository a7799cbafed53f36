"""Floor 2: the reference world, an embedded simulator with exact truth, seen through a dashcam.

``options`` say what a drive is; ``drive.render_drive`` makes one; ``simulation`` is a running row.

It needs only numpy, OpenCV and, for traffic, highway-env's wheel.
"""

#: Of the pictures and the traffic: another number, another world. What is rendered is cached under it.
WORLD_VERSION = 2
