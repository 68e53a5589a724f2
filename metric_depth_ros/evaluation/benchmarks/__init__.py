# SPDX-License-Identifier: Apache-2.0
"""The papers' own benchmarks: data sets as they come unpacked, protocols, published rows.

A `Benchmark` (`protocol`) reads a data set (one module each), gives every image to the estimator
once a `Task`, and stands beside the rows of the papers' tables (`published`). May import
`evaluation`, `framesets`, `simulation.sensors` and what is below them.
"""
