"""Matrix factorization by gradient descent: the lecture, executable, proved, fast and reproducible."""
