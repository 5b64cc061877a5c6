"""All measurements, one after the other."""

from benchmarks import coverage, generation

if __name__ == "__main__":
    generation.main(1000)
    print()
    coverage.main(10)
