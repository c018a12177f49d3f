-- The requests of the tracker's benchmark for wrk: the paths of the file BENCH_PATHS, one after the other,
-- from number BENCH_START on.
local requests, at = {}, tonumber(os.getenv("BENCH_START") or "0")

function init(_)
   for path in io.lines(os.getenv("BENCH_PATHS")) do
      requests[#requests + 1] = wrk.format("GET", path)
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end
