-- A scoring request as a Python client sends it; every reply is checked for status and length. harness/load.py sets the
-- environment and reads the one JSON line that done() prints.
local body_bytes = tonumber(os.getenv("BODY_BYTES"))
local reply_bytes = tonumber(os.getenv("REPLY_BYTES"))

local function samples(bytes)
    local row = "[5.1, 3.5, 1.4, 0.2]"
    local head, tail = '{"data": [' .. row, "]}"
    local more = ", " .. row
    local body = head .. string.rep(more, math.floor((bytes - #head - #tail) / #more)) .. tail
    return body .. string.rep(" ", bytes - #body)
end

wrk.method = "POST"
wrk.body = samples(body_bytes)
wrk.headers["User-Agent"] = "python-requests/2.31.0"
wrk.headers["Accept-Encoding"] = "gzip, deflate"
wrk.headers["Accept"] = "*/*"
wrk.headers["Content-Type"] = "application/json"
local key = os.getenv("KEY") or ""
if key ~= "" then wrk.headers["Authorization"] = "Bearer " .. key end

checked, wrong = 0, 0 -- global: done() reads them from the thread

function response(status, _, body)
    checked = checked + 1
    if status ~= 200 or #body ~= reply_bytes then wrong = wrong + 1 end
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

function done(summary, latency)
    local replies_checked, replies_wrong = 0, 0
    for _, thread in ipairs(threads) do
        replies_checked = replies_checked + thread:get("checked")
        replies_wrong = replies_wrong + thread:get("wrong")
    end
    local e = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %f, "checked": %d, "wrong": %d, "p50_us": %d, "p99_us": %d, ' ..
        '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
        summary.requests, summary.duration / 1e6, replies_checked, replies_wrong,
        latency:percentile(50), latency:percentile(99), e.connect, e.read, e.write, e.status, e.timeout))
end
