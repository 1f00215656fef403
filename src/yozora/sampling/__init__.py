"""From noise to video: solvers, guidance, and the pipeline that ties text, transformer and codec together."""
