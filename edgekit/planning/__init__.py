"""How a plan is made (``edgekit.plan.build_plan``): which outputs, by which steps, from what that must be there."""
