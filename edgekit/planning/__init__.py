"""recipe + targets + steps -> Plan (``build.build_plan``): which outputs, by which steps, from what must be there."""
