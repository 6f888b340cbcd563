"""How gunicorn runs the model server; the environment variables are those of Azure's inference server."""
import gc
import os

bind = f"{os.environ.get('SERVER_HOST', '0.0.0.0')}:{os.environ.get('SERVER_PORT', '5001')}"
workers = int(os.environ.get("WORKER_COUNT", "1"))
timeout = int(os.environ.get("WORKER_TIMEOUT", "300"))
worker_class = "gthread"  # the default class closes the connection after every reply
threads = 4               # health checks are answered while the model computes
keepalive = 75
preload_app = True        # the model is loaded before the port opens
accesslog = None
loglevel = "warning"


def when_ready(server):
    """Port 0 means any free one, so the port that was bound is printed for whoever started us."""
    gc.freeze()  # what is loaded stays: visiting it took each process a second of its end
    for listener in server.LISTENERS:
        host, port = listener.sock.getsockname()[:2]
        print(f"model listening on http://{host}:{port}", flush=True)
