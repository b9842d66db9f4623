//! Nothing to use: the tests of this package are in `tests/`, the independent decoder in `independent/`.
