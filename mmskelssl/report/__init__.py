"""The page of ``mmskelssl report``: one HTML file that shows what an encoder has learned, and where it errs."""
