# SPDX-License-Identifier: Apache-2.0
"""The kinds of goldens, a module each, with `matches` and `checks`.

A module here is found by its presence. It imports torch and networks inside its functions, so
that telling the kind of a folder needs neither.
"""
