// Where traces go, and how many.
#include "config/collector.hpp"
#include "unit/config/written.hpp"

using namespace scoregate::config;

namespace {

load_result with_tracing(const std::string& value) {
    auto tree = valid();
    tree["tracing"] = nlohmann::json::parse(value);
    return written{tree.dump()}.load();
}

} // namespace

TEST_CASE("traces are off unless they are asked for") {
    CHECK_FALSE(written{valid().dump()}.load().value.value().tracing);
    CHECK_FALSE(with_tracing("null").value.value().tracing);
}

TEST_CASE("traces have a collector and a ratio; the rest has defaults") {
    const auto made = with_tracing(R"({"endpoint": "http://127.0.0.1:4318", "ratio": 0.01})").value.value().tracing;
    REQUIRE(made);
    CHECK(made->endpoint == "http://127.0.0.1:4318");
    CHECK(made->ratio == 0.01);
    CHECK(made->service_name == "scoregate");
    CHECK_FALSE(made->headers_file);
    CHECK_FALSE(made->ca_file);

    auto tree = valid();
    tree["tracing"] = {{"endpoint", "https://otel.contoso.com/x"},
                       {"ratio", 1},
                       {"service_name", "iris-front"},
                       {"headers_file", "otel/headers"},
                       {"ca_file", "/ca.pem"}};
    const written file{tree.dump()};
    const auto other = file.load().value.value().tracing;
    REQUIRE(other);
    CHECK(other->ratio == 1);
    CHECK(other->service_name == "iris-front");
    CHECK(other->headers_file == (file.folder() / "otel/headers").string());
    CHECK(other->ca_file == "/ca.pem");
    CHECK(file.load_with({"tracing.ratio=0.5"}).value.value().tracing->ratio == 0.5);
}

TEST_CASE("what is wrong with traces is told where it stands") {
    struct row {
        const char* value;
        const char* pointer;
        const char* message;
    };
    const auto one = GENERATE(values<row>({
        {R"({"ratio": 1})", "/tracing/endpoint", "is missing: write where the collector"},
        {R"({"endpoint": "http://a"})", "/tracing/ratio", "is missing: write how many"},
        {R"({"endpoint": "http://a", "ratio": 1.1})", "/tracing/ratio", "from 0 to 1"},
        {R"({"endpoint": "http://a", "ratio": -0.1})", "/tracing/ratio", "from 0 to 1"},
        {R"({"endpoint": "http://a", "ratio": "1"})", "/tracing/ratio", "a number from 0 to 1"},
        {R"({"endpoint": "a:4318", "ratio": 1})", "/tracing/endpoint", "is no http:// or https:// URL"},
        {R"({"endpoint": "http://a", "ratio": 1, "service_name": ""})", "/tracing/service_name", ""},
        {R"({"endpoint": "http://a", "ratio": 1, "sampler": "x"})", "/tracing/sampler", ""},
    }));
    CAPTURE(one.value);
    const auto result = with_tracing(one.value);
    REQUIRE(pointers(result.problems) == std::string(one.pointer) + "\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.message));
}

TEST_CASE("a collector's URL falls into its parts") {
    std::string wrong;
    const auto plain = parse_collector("http://127.0.0.1:4318/v1/traces?tenant=a", wrong);
    REQUIRE(plain);
    CHECK(plain->at.host == "127.0.0.1");
    CHECK(plain->at.port == 4318);
    CHECK_FALSE(plain->at.tls);
    CHECK(plain->path == "/v1/traces?tenant=a");
    const auto secure = parse_collector("https://otel.contoso.com/", wrong);
    REQUIRE(secure);
    CHECK(secure->at.host == "otel.contoso.com");
    CHECK(secure->at.port == 443);
    CHECK(secure->at.tls);
    CHECK(secure->path == "/v1/traces");
    CHECK(parse_collector("http://[::1]", wrong)->path == "/v1/traces");
    CHECK(parse_collector("http://[::1]", wrong)->at.host == "::1");
}
