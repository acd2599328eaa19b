#!/bin/bash
# The short form of scripts/torture_kills.sh, always with the same moments; beside other tests a signal may take longer.
exec scripts/torture_kills.sh --rounds 2 --seed 1 --limit 5000
