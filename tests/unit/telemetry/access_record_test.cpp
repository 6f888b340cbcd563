#include "telemetry/access_record.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <random>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;
using json = nlohmann::ordered_json;

namespace {

std::chrono::system_clock::time_point at(std::int64_t milliseconds) {
    return std::chrono::system_clock::time_point{std::chrono::milliseconds{milliseconds}};
}

std::string line_of(const access_record& record) {
    std::string out;
    append_json(out, record);
    REQUIRE(out.ends_with("}\n"));
    REQUIRE(out.find('\n') == out.size() - 1);
    return out;
}

json parsed(const access_record& record) { return json::parse(line_of(record)); }

access_record full_record() {
    return {
        .ts = at(1769860800123),
        .request_id = "0b1c",
        .client_request_id = "mine-1",
        .trace_id = "4bf9",
        .client_ip = "2001:db8::1",
        .method = "POST",
        .path = "/api/v1/service/iris/score?verbose=1",
        .protocol = "HTTP/1.1",
        .service = "iris",
        .deployment = "blue",
        .replica = "http://127.0.0.1:5001",
        .status = 502,
        .fault = base::fault::model_error,
        .model_status = 500,
        .bytes_in = 310,
        .bytes_out = 18'000'000'000'000'000'000u,
        .duration = 12'345'678ns,
        .read = 70us,
        .queue = 0ns,
        .connect = 1ms,
        .first_byte = 11s,
        .attempts = 2,
        .tls_cipher = "ECDHE-ECDSA-AES128-GCM-SHA256",
        .sni = "www.contoso.com",
        .resumed = false,
        .user_agent = "curl/7.88.1",
        .auth = "none",
    };
}

} // namespace

TEST_CASE("a full record has every field of the contract, in its order") {
    CHECK(
        line_of(full_record()) ==
        R"({"ts":"2026-01-31T12:00:00.123Z","request_id":"0b1c","client_request_id":"mine-1","trace_id":"4bf9",)"
        R"("client_ip":"2001:db8::1","method":"POST","path":"/api/v1/service/iris/score","protocol":"HTTP/1.1",)"
        R"("service":"iris","deployment":"blue","replica":"http://127.0.0.1:5001","status":502,"fault":"model_error",)"
        R"("side":"replica","model_status":500,"bytes_in":310,"bytes_out":18000000000000000000,"duration_ms":12.345,)"
        R"("read_ms":0.070,"queue_ms":0.000,"connect_ms":1.000,"first_byte_ms":11000.000,"attempts":2,)"
        R"("tls_cipher":"ECDHE-ECDSA-AES128-GCM-SHA256","sni":"www.contoso.com","resumed":false,)"
        R"("user_agent":"curl/7.88.1","auth":"none"})"
        "\n");
}

TEST_CASE("a line for eyes is nginx's combined and the rest by name") {
    std::string out = "before\n";
    append_text(out, full_record());
    CHECK(out ==
          "before\n"
          R"(2001:db8::1 - none [31/Jan/2026:12:00:00 +0000] "POST /api/v1/service/iris/score HTTP/1.1" 502 )"
          R"(18000000000000000000 "-" "curl/7.88.1" duration_ms=12.345 fault=model_error side=replica service=iris )"
          R"(deployment=blue replica="http://127.0.0.1:5001" model_status=500 attempts=2 read_ms=0.070 queue_ms=0.000 )"
          R"(connect_ms=1.000 first_byte_ms=11000.000 bytes_in=310 request_id=0b1c client_request_id=mine-1 )"
          R"(trace_id=4bf9 tls_cipher=ECDHE-ECDSA-AES128-GCM-SHA256 sni="www.contoso.com" resumed=false)"
          "\n");
}

TEST_CASE("what is not known of a line for eyes is a dash, or left out") {
    std::string out;
    append_text(out, {.ts = at(951782400000)});
    CHECK(out == R"(- - - [29/Feb/2000:00:00:00 +0000] "- - -" 000 0 "-" "-" duration_ms=0.000 attempts=0 bytes_in=0)"
                 "\n");
}

TEST_CASE("no client can end a line for eyes, or a quoted part of it") {
    std::mt19937_64 random(20260201);
    std::string path, agent, sni;
    for (int round = 0; round < 20000; ++round) {
        for (auto* text : {&path, &agent, &sni}) {
            text->resize(random() % 40);
            for (auto& c : *text)
                c = random() % 2 ? static_cast<char>(random()) : "a\"\\\r\n\t\x1b\x7f\x80\xc2\x9b\0?"[random() % 13];
        }
        std::string line;
        append_text(line, {.ts = at(0), .path = path, .sni = sni, .user_agent = agent});
        const bool control = std::any_of(line.begin(), line.end() - 1, [](char c) {
            const auto byte = static_cast<unsigned char>(c);
            return byte < 0x20 || byte == 0x7f;
        });
        std::size_t quotes = 0; // that no backslash takes
        for (std::size_t i = 0; i < line.size(); ++i) {
            if (line[i] == '\\')
                ++i;
            else
                quotes += line[i] == '"';
        }
        if (control || line.back() != '\n' || quotes != (sni.empty() ? 6u : 8u)) {
            CAPTURE(line);
            FAIL();
        }
    }
}

TEST_CASE("the longest line for eyes stays whole") {
    const std::string worst(70000, '\x01');
    auto record = full_record();
    for (auto text :
         {&access_record::request_id, &access_record::client_request_id, &access_record::trace_id,
          &access_record::client_ip, &access_record::method, &access_record::path, &access_record::protocol,
          &access_record::service, &access_record::deployment, &access_record::replica, &access_record::tls_cipher,
          &access_record::sni, &access_record::user_agent, &access_record::auth})
        record.*text = worst;
    record.status = record.model_status = 65535;
    record.fault = base::fault::replica_bad_response;
    record.bytes_in = record.bytes_out = std::numeric_limits<std::uint64_t>::max();
    record.duration = std::chrono::nanoseconds::max();
    record.read = record.queue = record.connect = record.first_byte = std::chrono::nanoseconds::max();
    record.attempts = std::numeric_limits<std::uint32_t>::max();
    std::string out;
    append_text(out, record);
    CHECK(out.size() > 14 * 6 * worst.size());
    CHECK(out.size() < 14 * 6 * worst.size() + 800);
    CHECK(out.ends_with(" resumed=false\n"));
}

TEST_CASE("what succeeded, and what was not the client's doing") {
    struct row {
        base::fault fault;
        std::uint16_t status;
        bool good, let_down;
    };
    for (const auto& [fault, status, good, bad] : {row{base::fault::none, 200, true, false},
                                                   {base::fault::none, 304, true, false},
                                                   {base::fault::none, 404, false, false},
                                                   {base::fault::none, 500, false, true},
                                                   {base::fault::none, 0, false, false},
                                                   {base::fault::client_gone, 499, false, false},
                                                   {base::fault::no_route, 404, false, false},
                                                   {base::fault::stream_broken, 200, false, true},
                                                   {base::fault::model_error, 424, false, true}}) {
        CAPTURE(status, base::token(fault));
        const access_record record{.status = status, .fault = fault};
        CHECK(succeeded(record) == good);
        CHECK(let_down(record) == bad);
    }
}

TEST_CASE("what is not known is left out") {
    CHECK(line_of({.ts = at(0)}) ==
          R"({"ts":"1970-01-01T00:00:00.000Z","bytes_in":0,"bytes_out":0,"duration_ms":0.000,"attempts":0})"
          "\n");
}

TEST_CASE("a line is appended to what is there") {
    std::string out = "before\n";
    append_json(out, {.ts = at(0)});
    append_json(out, {.ts = at(1)});
    CHECK(out.starts_with("before\n{\"ts\":\"1970-01-01T00:00:00.000Z\""));
    CHECK(out.find("}\n{\"ts\":\"1970-01-01T00:00:00.001Z\"") != std::string::npos);
}

TEST_CASE("ts is right whichever second was formatted before") {
    const std::pair<std::int64_t, const char*> times[] = {
        {951782399999, "2000-02-28T23:59:59.999Z"},  {951782400000, "2000-02-29T00:00:00.000Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},  {4107542399007, "2100-02-28T23:59:59.007Z"},
        {4107542400070, "2100-03-01T00:00:00.070Z"}, {1767225599999, "2025-12-31T23:59:59.999Z"},
        {1767225599000, "2025-12-31T23:59:59.000Z"}, {1767225600700, "2026-01-01T00:00:00.700Z"},
    };
    for (const auto& [when, text] : times) CHECK(parsed({.ts = at(when)})["ts"] == text);
}

TEST_CASE("the query never reaches the log") {
    for (const auto* path : {"/score?key=secret", "/score?", "/score??secret", "/score?a#secret"})
        CHECK(parsed({.path = path})["path"] == "/score");
    CHECK_FALSE(parsed({.path = "?secret"}).contains("path"));
}

TEST_CASE("control characters, quotes and backslashes are escaped") {
    using namespace std::string_literals;
    const auto odd = "a\"b\\c\n\r\t\0\x1f\x7f/é"s;
    const auto line = line_of({.user_agent = odd});
    CHECK(json::parse(line)["user_agent"] == odd);
    for (const unsigned char c : line.substr(0, line.size() - 1)) CHECK((c >= 0x20 && c != 0x7f));
    CHECK(line.find(R"("a\"b\\c\u000a\u000d\u0009\u0000\u001f\u007f/é")") != std::string::npos);
}

TEST_CASE("only well-formed UTF-8 passes; every other byte is one U+FFFD") {
    const std::string_view r = "\xef\xbf\xbd"; // U+FFFD
    const auto times = [&](int n) {
        std::string out;
        while (n-- > 0) out += r;
        return out;
    };
    const std::pair<std::string, std::string> cases[] = {
        {"\xc2\xa0", "\xc2\xa0"},                              // U+00A0
        {"\xc2\x9b", "\xc2\x9b"},                              // U+009B, as \u009b
        {"\xdf\xbf", "\xdf\xbf"},                              // U+07FF
        {"\xe0\xa0\x80", "\xe0\xa0\x80"},                      // U+0800
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},                      // U+D7FF
        {"\xee\x80\x80", "\xee\x80\x80"},                      // U+E000
        {"\xef\xbf\xbf", "\xef\xbf\xbf"},                      // U+FFFF
        {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},              // U+10000
        {"\xf3\xbf\xbf\xbf", "\xf3\xbf\xbf\xbf"},              // U+FFFFF
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},              // U+10FFFF
        {"\x80", times(1)},                                    // a tail alone
        {"\xc0\x80", times(2)},                                // overlong
        {"\xc1\xbf", times(2)},                                // overlong
        {"\xe0\x9f\xbf", times(3)},                            // overlong
        {"\xf0\x8f\xbf\xbf", times(4)},                        // overlong
        {"\xed\xa0\x80", times(3)},                            // surrogate
        {"\xf4\x90\x80\x80", times(4)},                        // beyond U+10FFFF
        {"\xf5\x80\x80\x80", times(4)},                        // no such lead
        {"\xff", times(1)},                                    //
        {"\xc3", times(1)},                                    // cut short
        {"\xe2\x82", times(2)},                                // cut short
        {"\xf0\x9f\x98", times(3)},                            // cut short
        {"\xe2\x82!\xe2\x82\xac", times(2) + "!\xe2\x82\xac"}, // goes on after the fault
        {"\xe2\xc3\xa9", times(1) + "\xc3\xa9"},               // a lead inside a sequence starts a new one
    };
    for (const auto& [bytes, text] : cases) CHECK(parsed({.sni = bytes})["sni"] == text);
    CHECK(line_of({.sni = "\xc2\x9b"}).find("\\u009b") != std::string::npos);
    // Line and paragraph separators, and what reverses the order of a line.
    CHECK(line_of({.sni = "\xe2\x80\xa8"}).find("\"\\u2028\"") != std::string::npos);
    CHECK(line_of({.sni = "\xe2\x80\xae"}).find("\"\\u202e\"") != std::string::npos);
    CHECK(line_of({.sni = "\xe2\x81\xa9"}).find("\"\\u2069\"") != std::string::npos);
    CHECK(line_of({.sni = "\xe2\x80\xa7\xe2\x80\xaf"}).find("\"\xe2\x80\xa7\xe2\x80\xaf\"") != std::string::npos);
}

TEST_CASE("a line is valid JSON whatever the bytes and numbers are") {
    std::mt19937_64 random(20260131);
    std::string texts[14];
    for (int round = 0; round < 20000; ++round) {
        for (auto& text : texts) {
            text.resize(random() % 40);
            const bool wild = random() % 2; // all bytes, or those that escaping is about
            for (auto& c : text)
                c = wild ? static_cast<char>(random()) : "a\"\\\n\x80\xbf\xc2\xe0\xed\xf0\xf4\0?"[random() % 13];
        }
        const auto number = [&] { return random() >> random() % 64; };
        const auto time = [&]() -> std::optional<std::chrono::nanoseconds> {
            if (random() % 3 == 0) return std::nullopt;
            return std::chrono::nanoseconds{static_cast<std::int64_t>(number())};
        };
        const auto flag = [&]() -> std::optional<bool> {
            if (random() % 3 == 0) return std::nullopt;
            return random() % 2 == 0;
        };
        const access_record record{
            .ts = at(static_cast<std::int64_t>(random() % 4'000'000'000'000)),
            .request_id = texts[0],
            .client_request_id = texts[1],
            .trace_id = texts[2],
            .client_ip = texts[3],
            .method = texts[4],
            .path = texts[5],
            .protocol = texts[6],
            .service = texts[7],
            .deployment = texts[8],
            .replica = texts[9],
            .status = static_cast<std::uint16_t>(number()),
            .fault = static_cast<base::fault>(random() % base::fault_count),
            .model_status = static_cast<std::uint16_t>(number()),
            .bytes_in = number(),
            .bytes_out = number(),
            .duration = std::chrono::nanoseconds{static_cast<std::int64_t>(random())},
            .read = time(),
            .queue = time(),
            .connect = time(),
            .first_byte = time(),
            .attempts = static_cast<std::uint32_t>(number()),
            .tls_cipher = texts[10],
            .sni = texts[11],
            .resumed = flag(),
            .user_agent = texts[12],
            .auth = texts[13],
        };
        std::string line;
        append_json(line, record);
        const auto read = json::parse(line, nullptr, false);
        if (read.is_discarded() || read["bytes_in"] != record.bytes_in || read["bytes_out"] != record.bytes_out ||
            read["attempts"] != record.attempts || read.contains("auth") == texts[13].empty() ||
            read.contains("fault") != (record.fault != base::fault::none)) {
            CAPTURE(line);
            FAIL();
        }
    }
}

TEST_CASE("the longest a record can get stays whole") {
    const std::string worst(70000, '\x01');
    constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
    const auto longest = std::chrono::nanoseconds::max();
    auto record = full_record();
    for (auto text :
         {&access_record::request_id, &access_record::client_request_id, &access_record::trace_id,
          &access_record::client_ip, &access_record::method, &access_record::path, &access_record::protocol,
          &access_record::service, &access_record::deployment, &access_record::replica, &access_record::tls_cipher,
          &access_record::sni, &access_record::user_agent, &access_record::auth})
        record.*text = worst;
    record.status = record.model_status = 65535;
    record.fault = base::fault::replica_bad_response;
    record.bytes_in = record.bytes_out = huge;
    record.duration = longest;
    record.read = record.queue = record.connect = record.first_byte = longest;
    record.attempts = std::numeric_limits<std::uint32_t>::max();
    const auto line = parsed(record);
    CHECK(line.size() == 28);
    CHECK(line["auth"] == worst);
    CHECK(line["bytes_out"] == huge);
    CHECK(line["duration_ms"] == 9223372036854.775);
}
