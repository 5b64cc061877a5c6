"""All measurements, one after the other; names as arguments choose some. The soak of two hours is not among them:
``python -m benchmarks.soak``."""

import sys

from benchmarks import campaigns, coverage, feeds, generation, rate, routes, sharpness, silence

ALL = {
    "generation": lambda: generation.main(1000),
    "coverage": lambda: coverage.main(10),
    "routes": lambda: routes.main(64),
    "rate": lambda: rate.main([]),
    "feeds": lambda: feeds.main([]),
    "share": lambda: campaigns.main(["share"]),
    "workers": lambda: campaigns.main(["workers"]),
    "guidance": lambda: campaigns.main(["guidance"]),
    "silence": lambda: silence.main(["2000"]),
    "sharpness": lambda: sharpness.main(["500"]),
}

if __name__ == "__main__":
    for name in sys.argv[1:] or list(ALL):
        ALL[name]()
        print(flush=True)
