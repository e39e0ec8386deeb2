# A random program against the kernel; the first line is the seed that leads there again.
where-supported xtask torture --seconds 20
