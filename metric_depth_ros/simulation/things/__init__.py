# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of things that worlds are made of, and the `Stage` they are put together on.

May import `simulation.world`. Every thing is a function of the stage it stands on.
"""
