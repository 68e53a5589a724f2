# SPDX-License-Identifier: Apache-2.0
"""Figures of depth: metrics, scoring of frame sets, the papers' benchmarks, pictures, reports.

May import `simulation`, `framesets` and what is below them; no node loads it.
"""
