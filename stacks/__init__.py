"""The AWS side, as CDK stacks: one file a stack, its constructs beside it."""
