"""All measurements, one after the other; names as arguments choose some. The soak of two hours is not among them:
``python -m benchmarks.soak``."""

import subprocess
import sys

from benchmarks import campaigns, coverage, feeds, generation, rate, routes, sharpness

ALL = {
    "generation": lambda: generation.main(1000),
    "coverage": lambda: coverage.main(10),
    "routes": lambda: routes.main(64),
    "rate": lambda: rate.main([]),
    "feeds": lambda: feeds.main([]),
    "share": lambda: campaigns.main(["share"]),
    "workers": lambda: campaigns.main(["workers"]),
    "guidance": lambda: campaigns.main(["guidance"]),
    # In a process of its own, which has another runtime.
    "silence": lambda: subprocess.run([sys.executable, "-m", "benchmarks.silence", "2000"], check=True),
    # With converters of its own, which have to be found when it starts.
    "minimizer": lambda: subprocess.run([sys.executable, "-m", "benchmarks.minimizer"], check=True),
    "sharpness": lambda: sharpness.main(["500"]),
}

if __name__ == "__main__":
    for name in sys.argv[1:] or list(ALL):
        ALL[name]()
        print(flush=True)
