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
if os.getenv("CLOSE") == "1" then wrk.headers["Connection"] = "close" end -- a new connection for each request

-- FIELDS: header fields in all; wrk adds Host and Content-Length to those above.
local fields = 2
for _ in pairs(wrk.headers) do fields = fields + 1 end
for i = fields + 1, tonumber(os.getenv("FIELDS") or 0) do
    wrk.headers[string.format("X-Feature-%03d", i)] = "sepal-length=5.1"
end

-- The URL's host is the name that is asked for in the handshake; whose certificate it is need not be known to any DNS.
function wrk.resolve(_, service) wrk.addrs = wrk.lookup("127.0.0.1", service) end

-- TARGETS names a file of lines "PATH HOST ID": each request goes to one of them, at random, with ID as its client's id.
local targets = os.getenv("TARGETS") or ""
if targets ~= "" then
    local requests = {}
    function init()
        for line in io.lines(targets) do
            local path, host, id = line:match("^(%S+) (%S+) (%S+)$")
            local headers = {Host = host, ["x-ms-client-request-id"] = id}
            for name, value in pairs(wrk.headers) do
                if name ~= "Host" then headers[name] = value end
            end
            requests[#requests + 1] = wrk.format(nil, path, headers)
        end
    end
    function request() return requests[math.random(#requests)] end
end

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
