#!/bin/bash
# Builds every case of the language and compares it with its record: see compare.py.
command -v python3 >/dev/null || { echo "skip the cases of the language: python3 is not installed"; exit 0; }
exec python3 "$(dirname "${BASH_SOURCE[0]}")/compare.py" "$@"
