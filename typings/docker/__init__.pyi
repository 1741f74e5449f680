from docker import errors as errors
