"""A cluster of ten Slurm jobs of eight cores each, and a descent on it."""

from dask_jobqueue import SLURMCluster
from distributed import Client

from mflib import cluster, datasets, random_factors

if __name__ == "__main__":
    jobs = SLURMCluster(
        cores=1,  # one thread of Dask, eight of the compiled loops
        job_cpu=8,
        memory="32GB",
        walltime="04:00:00",
        job_script_prologue=["export NUMBA_NUM_THREADS=8"],
    )
    jobs.scale(jobs=10)
    client = Client(jobs)
    ratings = datasets.planted(300, 200, 9000, n_factors=2, seed=0).ratings
    start = random_factors(ratings.shape, n_factors=2)
    result = cluster.descend(ratings, *start, "conjugate", client=client, checkpoint="descent.npz")
    print(result.history[-1])
