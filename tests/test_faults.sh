#!/bin/bash
# The short form of `make torture`: a few points of every kind of failure, always the same ones.
exec scripts/torture.sh --points "${FAULT_POINTS:-2}" --seed 1
