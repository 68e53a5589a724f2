# SPDX-License-Identifier: Apache-2.0
"""Messages that hypothesis makes, through everything between a topic and the depth image.

A message is a good one with some of its fields replaced. Whatever comes, the code either refuses
it with `InputError` (which the node counts and reports) or makes outputs of the image's size. No
node and no DDS take part, so that a second does a thousand messages and more. `replacements` and
`rounds` load hypothesis; `kinds` loads nothing.
"""
