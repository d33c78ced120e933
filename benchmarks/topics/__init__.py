"""How fast topics are: beside `broadcast` in one process, and from node to node beside python-socketio."""
