// Plays every case of cases/ against a proxy, and judges it by what arrived at the replica and at the client, byte by
// byte. Behind each case's own bytes, in the same write, comes one more request: where the connection is kept it must
// be served as itself, where it is closed it must never be. The index is held against the files.
#include "component/fixture.hpp"
#include "conformance/wire_case.hpp"
#include "conformance/wire_replica.hpp"
#include "fuzz/strict_reader.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

using namespace scoregate;
using namespace scoregate::tests;
namespace fs = std::filesystem;

namespace {

using action = wire_step::action;
using end = wire_case::end;

const fs::path folder = fs::path(SCOREGATE_SOURCE_DIR) / "tests/conformance";

std::string text_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    REQUIRE(in);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
}

// By their path below cases/.
std::map<std::string, wire_case> all_cases() {
    std::map<std::string, wire_case> found;
    for (const auto& each : fs::recursive_directory_iterator(folder / "cases")) {
        if (!each.is_regular_file()) continue;
        const auto name = fs::relative(each.path(), folder / "cases").string();
        INFO(name);
        REQUIRE(each.path().extension() == ".wire");
        found.emplace(name, parse_wire_case(text_of(each.path())));
    }
    return found;
}

const std::string next_request = "GET /api/v1/service/iris/score?next HTTP/1.1\r\nHost: www.contoso.com\r\n\r\n";
const auto next_at_replica =
    parse_wire_pattern(R"(GET /score?next HTTP/1.1\r\nHost: www.contoso.com\r\n{from www.contoso.com}\r\n)");
const std::string next_reply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnext";
const auto next_at_client =
    parse_wire_pattern(R"(HTTP/1.1 200 OK\r\nDate: {date}\r\n{ours}Content-Length: 4\r\n\r\nnext)");

// One message and nothing else, as plain as the grammar has it: one framing, chunks without extensions or trailers.
bool is_one_message(std::string_view bytes) {
    const auto head = fuzz::read_strictly(bytes);
    if (!head) return false;
    const auto framing = fuzz::frame_strictly(*head);
    if (!framing) return false;
    bytes.remove_prefix(head->size);
    if (!framing->chunked) return bytes.size() == framing->length.value_or(0);
    for (;;) {
        const auto line = bytes.substr(0, bytes.find("\r\n"));
        if (line.empty() || line.find_first_not_of("0123456789abcdef") != std::string_view::npos) return false;
        const auto size = std::stoul(std::string(line), nullptr, 16);
        bytes.remove_prefix(line.size() + 2);
        if (size == 0) return bytes == "\r\n";
        if (bytes.size() < size + 2 || bytes.substr(size, 2) != "\r\n") return false;
        bytes.remove_prefix(size + 2);
    }
}

// How the client's bytes are cut.
enum class sent : std::uint8_t { whole, byte_by_byte };

class stage {
public:
    explicit stage(over what) : proxy_(what, settings()) {}

    void play(const wire_case& played, sent how) {
        test_client client(proxy_.port(), proxy_.terms());
        try {
            std::size_t sends_left = played.count(action::client_sends);
            const bool shuts = played.count(action::client_shuts) != 0;
            for (const auto& step : played.steps) {
                if (step.what == action::client_sends)
                    send(client, step.bytes + (--sends_left == 0 && !shuts ? next_request : ""), how);
                else
                    take(step, client, played);
            }
            finish(played, client);
        } catch (const wire_error& why) {
            FAIL_CHECK(why.what() << ", at the client: " << printable(client.unread())
                                  << ", at the replica: " << printable(replica_.unread()));
        }
        client.close();
        replica_.close_all();
    }

private:
    config::settings settings() const {
        auto made = settings_of({service_of("iris", {}), service_of("tree", {})});
        made.limits.request_buffer_bytes = config::settings{}.limits.request_buffer_bytes;
        made.services[0].hosts = {"iris.contoso.com"};
        made.services[1].routes = {{"/v1/models/iris:predict", "/v1/models/iris:predict", false, {"POST"}, false},
                                   {"/v1", "/v1", true, {"GET", "POST"}, false}};
        for (auto& service : made.services) service.deployments[0].replicas = {replica_at(replica_.port())};
        return made;
    }

    static void send(test_client& client, const std::string& bytes, sent how) {
        try {
            how == sent::whole ? client.send(bytes) : client.send_sliced(bytes);
        } catch (const wire_ended&) {
            // Refused before it was whole; the reply says how.
        }
    }

    void take(const wire_step& step, test_client& client, const wire_case& played) {
        switch (step.what) {
        case action::client_shuts: return client.shut();
        case action::client_receives: return at_client(step.expected.front(), client);
        case action::client_refused: return check_refusal(step, client.read_reply(), played.connection);
        case action::replica_receives: return at_replica(step.expected.front());
        case action::replica_sends: return replica_.send(step.bytes);
        case action::replica_closes: return replica_.close();
        case action::replica_closed: return replica_.wait_until_closed();
        default: throw std::logic_error("a step that is not taken here");
        }
    }

    template <class Source>
    static std::size_t expect(const wire_pattern& expected, Source& source) {
        auto matched = expected.match(source.unread());
        while (matched.is == wire_pattern::verdict::more_needed && source.await_more())
            matched = expected.match(source.unread());
        if (matched.is != wire_pattern::verdict::matches)
            throw wire_error("expected:\n" + expected.printable() + "\nthe same up to byte " +
                             std::to_string(matched.size));
        return matched.size;
    }

    static void at_client(const wire_pattern& expected, test_client& client) {
        client.read_exactly(expect(expected, client));
    }

    void at_replica(const wire_pattern& expected) {
        const auto size = expect(expected, replica_);
        INFO(printable(replica_.unread()));
        CHECK(is_one_message(std::string_view(replica_.unread()).substr(0, size)));
        replica_.take(size);
        CHECK(replica_.is_quiet()); // nothing behind it before it is answered
    }

    static void check_refusal(const wire_step& step, const message& reply, end connection) {
        const auto* const row = std::find_if(base::fault_table.begin(), base::fault_table.end(),
                                             [&](const auto& each) { return each.token == step.fault; });
        REQUIRE(row != base::fault_table.end());
        check_fault(reply, step.status, step.fault, std::string(base::to_string(row->blame)));
        CHECK_THAT(reply.body, Catch::Contains(step.words));
        CHECK(reply.interims.empty());
        CHECK(reply.field("connection") == (connection == end::closed ? "close" : ""));
    }

    void finish(const wire_case& played, test_client& client) {
        if (played.connection == end::kept) {
            at_replica(next_at_replica);
            replica_.send(next_reply);
            at_client(next_at_client, client);
            CHECK(client.unread().empty());
        } else {
            const auto ended = client.wait_for_end();
            CHECK(client.unread().empty());
            CHECK((ended == ending::clean) == (played.connection == end::closed));
        }
        CHECK(replica_.is_quiet());
    }

    wire_replica replica_;
    checked_proxy proxy_;
};

// A table row of INDEX.md: its first cell, and the cases and tests that it names.
struct index_row {
    std::string key;
    std::set<std::string> cases;
    std::vector<std::string> tests;
};

std::vector<index_row> index_rows() {
    const std::regex quoted("`([^`]+)`");
    std::vector<index_row> rows;
    std::istringstream lines(text_of(folder / "INDEX.md"));
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("| ") || line.starts_with("| ---") || line.find("| Cases |") != std::string::npos)
            continue;
        const auto last = line.rfind(" | ");
        index_row row{line.substr(2, line.find(" |", 2) - 2), {}, {}};
        const auto cells = line.substr(last == std::string::npos ? 0 : last);
        for (std::sregex_iterator each(cells.begin(), cells.end(), quoted), none; each != none; ++each) {
            const std::string name = (*each)[1];
            if (name.ends_with(".wire"))
                row.cases.insert(name);
            else
                row.tests.push_back(name);
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

} // namespace

TEST_CASE("every case, in one piece") {
    const auto what = GENERATE(over::plain, over::tls);
    stage on(what);
    for (const auto& [name, played] : all_cases()) {
        INFO(name << ", " << to_string(what));
        on.play(played, sent::whole);
    }
}

// The same refusal wherever the bytes are cut. What is passed on is not the same then: chunks are framed as they come.
TEST_CASE("every refused request, byte by byte") {
    constexpr std::size_t most = 2000;
    stage on(over::plain);
    for (const auto& [name, played] : all_cases()) {
        const bool one_refused = played.connection == end::closed && played.untouched && played.steps.size() == 2 &&
                                 played.steps[0].bytes.size() < most;
        if (!one_refused) continue;
        INFO(name);
        on.play(played, sent::byte_by_byte);
    }
}

TEST_CASE("the index lists every case under what it cites, and nothing that is not there") {
    const auto cases = all_cases();
    const auto rows = index_rows();
    REQUIRE(rows.size() > 50);
    for (const auto& row : rows) {
        INFO(row.key);
        CHECK(row.cases.size() + row.tests.size() != 0);
        for (const auto& test : row.tests) {
            INFO(test);
            CHECK(fs::exists(fs::path(SCOREGATE_SOURCE_DIR) / test));
        }
        for (const auto& name : row.cases) {
            INFO(name);
            REQUIRE(cases.contains(name));
            const auto& cites = cases.at(name).cites;
            CHECK(std::find(cites.begin(), cites.end(), row.key) != cites.end());
        }
    }
    for (const auto& [name, listed] : cases)
        for (const auto& cited : listed.cites) {
            INFO(name << " cites " << cited);
            CHECK(std::any_of(rows.begin(), rows.end(), [&, &name = name](const auto& row) {
                return row.key == cited && row.cases.contains(name);
            }));
        }
}
