"""Face verification: model packs, the pipeline, and the one worker process that owns camera and models."""
