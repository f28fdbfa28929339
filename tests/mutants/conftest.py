# run by `make mutants`, no tests of pytest's
collect_ignore_glob = ["*"]
