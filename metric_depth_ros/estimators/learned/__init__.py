# SPDX-License-Identifier: Apache-2.0
"""Estimators that run the papers' networks, one module each. Loaded only when one is created.

An adapter turns frames into a network's input and its output into depth; `LearnedEstimator` runs
it. Imports torch and `networks`.
"""
