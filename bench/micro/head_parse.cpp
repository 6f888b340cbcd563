// What the head of a request costs: found, parsed, checked and rewritten for the replica. Ours (http/head, http/write)
// beside a rewriter derived from beast::http::basic_parser that is made as strict, so that both refuse the same heads.
// Prints CPU nanoseconds per head, median and spread over alternating rounds. docs/decisions/0003-own-head-parser.md
// quotes it.
#include "http/write.hpp"

#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

using namespace scoregate;
namespace beast = boost::beast;

namespace {

constexpr int rounds = 31, times = 20'000;

// What python-requests behind a load balancer sends.
constexpr std::string_view sample = "POST /api/v1/service/iris/score?verbose=1 HTTP/1.1\r\n"
                                    "Host: www.contoso.com\r\n"
                                    "User-Agent: python-requests/2.28.1\r\n"
                                    "Accept-Encoding: gzip, deflate\r\n"
                                    "Accept: */*\r\n"
                                    "Connection: keep-alive\r\n"
                                    "Content-Type: application/json\r\n"
                                    "Content-Length: 1843\r\n"
                                    "Authorization: Bearer 3q2+7wAAAAAAAAAAAAAAAAAA\r\n"
                                    "X-Forwarded-For: 203.0.113.7\r\n"
                                    "X-Request-Id: 6f1c4e2a9b7d4f0e\r\n"
                                    "x-ms-client-request-id: batch-17\r\n"
                                    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
                                    "X-Tenant: 42\r\n"
                                    "Cache-Control: no-cache\r\n"
                                    "\r\n";

// The same decisions on Beast's parser, as cheap as they can be made there: each field is judged as it is parsed and
// appended to one buffer, or not; those that a later Connection names would be cut at the end.
class beast_rewriter : public beast::http::basic_parser<true> {
public:
    beast_rewriter(base::buffer& out, const http::forwarded& from, const http::request_identity& identity)
        : out_(out), from_(from), identity_(identity) {
        header_limit(65536);
        body_limit(boost::none);
    }

    // Beast unfolds obs-fold before a derivative sees the value, so a scan must come before.
    static bool free_of_folds(std::string_view bytes) {
        for (auto at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
            if (at + 1 < bytes.size() && (bytes[at + 1] == ' ' || bytes[at + 1] == '\t')) return false;
        }
        return true;
    }

private:
    using error_code = beast::error_code;
    using text = beast::string_view;
    static constexpr auto refused = beast::http::error::bad_value;

    void append(std::string_view bytes) { out_.append(bytes); }
    void line(std::string_view name, std::string_view value) {
        append(name);
        append(": ");
        append(value);
        append("\r\n");
    }

    void on_request_impl(beast::http::verb, text method, text target, int version, error_code& ec) override {
        for (const char c : target)
            if (c <= 0x20 || c == 0x7f || c == '#' || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' ||
                c == '`')
                ec = refused;
        if (target.empty() || target.front() != '/') ec = refused; // absolute-form is left out: it only adds work
        minor_ = version % 10;
        const auto query = target.find('?');
        append({method.data(), method.size()});
        append(" /score");
        if (query != text::npos) append({target.data() + query, target.size() - query});
        append(" HTTP/1.1\r\n");
    }

    void on_field_impl(beast::http::field id, text name_text, text value_text, error_code& ec) override {
        using beast::http::field;
        const std::string_view name(name_text.data(), name_text.size()), value(value_text.data(), value_text.size());
        if (++fields_ > 100) ec = refused;
        switch (id) {
        case field::host:
            if (!host_.empty() || value.empty() || value.find_first_of(" ,/@\\\"<>#?") != std::string_view::npos)
                ec = refused;
            host_ = value;
            return line("Host", value);
        case field::content_length:
            if (has_length_) ec = refused; // equal ones pass Beast
            has_length_ = true;
            return;
        case field::transfer_encoding:
            if (has_encoding_ || !http::equals_ignoring_case(value, "chunked")) ec = refused;
            has_encoding_ = true;
            return;
        case field::connection: return connection(value, ec);
        case field::expect:
            if (!http::equals_ignoring_case(value, "100-continue")) ec = refused;
            return;
        case field::authorization:
        case field::keep_alive:
        case field::proxy_connection:
        case field::proxy_authenticate:
        case field::proxy_authorization:
        case field::te:
        case field::trailer:
        case field::upgrade:
        case field::forwarded: return;
        case field::unknown: break;
        default: return line(name, value);
        }
        switch (http::identify(name)) { // names that Beast does not know
        case http::field_id::forwarded_for:
        case http::field_id::forwarded_host:
        case http::field_id::forwarded_proto:
        case http::field_id::forwarding:
        case http::field_id::request_id: return;
        case http::field_id::client_request_id: client_ = value; return;
        case http::field_id::traceparent: trace_ = value; return;
        default:
            if (name.find('_') != std::string_view::npos) ec = refused;
            return line(name, value);
        }
    }

    void connection(std::string_view value, error_code& ec) {
        while (!value.empty()) {
            const auto comma = value.find(',');
            auto option = value.substr(0, comma);
            value = comma == std::string_view::npos ? std::string_view{} : value.substr(comma + 1);
            while (!option.empty() && option.front() == ' ') option.remove_prefix(1);
            while (!option.empty() && option.back() == ' ') option.remove_suffix(1);
            if (option.empty() || http::equals_ignoring_case(option, "close") ||
                http::equals_ignoring_case(option, "keep-alive"))
                continue;
            if (http::identify(option) != http::field_id::other) ec = refused;
            nominated_.push_back(option);
        }
    }

    void on_header_impl(error_code& ec) override {
        if (host_.empty() && minor_ == 1) ec = refused;
        if (has_encoding_ && (has_length_ || minor_ == 0)) ec = refused;
        line("X-Forwarded-For", from_.addresses);
        line("X-Forwarded-Proto", from_.proto);
        line("X-Forwarded-Host", host_);
        line("X-Request-Id", identity_.id.view());
        if (!client_.empty()) line("x-ms-client-request-id", identity_.client.view());
        line("traceparent", identity_.trace.view());
        if (has_encoding_)
            append("Transfer-Encoding: chunked\r\n");
        else if (content_length()) {
            std::array<char, 20> digits{};
            const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *content_length()).ptr;
            line("Content-Length", {digits.data(), static_cast<std::size_t>(end - digits.data())});
        }
        append("\r\n");
    }
    void on_response_impl(int, text, int, error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(text, error_code&) override { return 0; }
    void on_chunk_header_impl(std::uint64_t, text, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, text body, error_code&) override { return body.size(); }
    void on_finish_impl(error_code&) override {}

    base::buffer& out_;
    const http::forwarded& from_;
    const http::request_identity& identity_;
    std::string_view host_{}, client_{}, trace_{};
    std::vector<std::string_view> nominated_{};
    std::size_t fields_ = 0;
    int minor_ = 1;
    bool has_length_ = false, has_encoding_ = false;
};

class contest {
public:
    contest() {
        identity_.id = source_.make_guid();
        identity_.client = http::clean_client_id("batch-17");
        identity_.trace = source_.continue_trace("");
        out_.reserve();
    }

    bool ours(std::string_view bytes) {
        out_.clear();
        std::size_t scanned = 0;
        const auto end = http::find_head_end(bytes, scanned, limits_);
        if (!end || !*end || !head_.parse(bytes.substr(0, **end), limits_)) return false;
        http::write_request_head(out_, head_, std::string_view("/score"), head_.host, from_, identity_);
        return true;
    }
    bool with_beast(std::string_view bytes) {
        out_.clear();
        if (!beast_rewriter::free_of_folds(bytes)) return false;
        beast_rewriter parser(out_, from_, identity_);
        beast::error_code ec;
        parser.put(boost::asio::buffer(bytes.data(), bytes.size()), ec);
        return !ec && parser.is_header_done();
    }
    std::string_view written() { return out_.readable(); }

private:
    http::identifier_source source_;
    http::request_identity identity_;
    const http::forwarded from_{"203.0.113.9", "https", "www.contoso.com"};
    const http::head_limits limits_{};
    http::request_head head_;
    base::buffer_pool pool_;
    base::buffer out_{pool_};
};

// CPU time of this thread: what other processes take of the machine does not count.
double now_in_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <class Work>
double nanoseconds_each(Work work) {
    const auto start = now_in_nanoseconds();
    for (int i = 0; i < times; ++i)
        if (!work()) std::abort();
    return (now_in_nanoseconds() - start) / times;
}

struct spread {
    double median, least, most;
};
spread of(std::vector<double> all) {
    std::sort(all.begin(), all.end());
    return {all[all.size() / 2], all.front(), all.back()};
}

} // namespace

int main() {
    contest both;
    // The same work, or the comparison is void.
    if (!both.ours(sample)) return EXIT_FAILURE;
    const std::string one(both.written());
    if (!both.with_beast(sample) || both.written() != one) {
        std::fprintf(stderr, "the two do not write the same head:\n%s\n%s\n", one.c_str(),
                     std::string(both.written()).c_str());
        return EXIT_FAILURE;
    }
    std::vector<double> ours, with_beast;
    for (int round = 0; round < rounds; ++round) {
        ours.push_back(nanoseconds_each([&] { return both.ours(sample); }));
        with_beast.push_back(nanoseconds_each([&] { return both.with_beast(sample); }));
    }
    const auto a = of(ours), b = of(with_beast);
    std::printf("head of %zu bytes and 14 fields, %d rounds of %d\n", sample.size(), rounds, times);
    std::printf("http/head + http/write     %5.0f ns  (%.0f .. %.0f)\n", a.median, a.least, a.most);
    std::printf("beast::http::basic_parser  %5.0f ns  (%.0f .. %.0f)\n", b.median, b.least, b.most);
}
