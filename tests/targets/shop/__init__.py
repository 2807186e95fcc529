# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The service that leaks: a small web shop, without the web."""
