// What a service may say of its deployments, routes and replies.
#include "unit/config/written.hpp"

#include <chrono>

using namespace scoregate::config;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

using texts = std::vector<std::string>;
const std::string iris = "/services/iris";
const std::string blue = iris + "/deployments/blue";

json with(const std::string& pointer, const std::string& value) {
    auto tree = valid();
    tree[json::json_pointer{pointer}] = json::parse(value);
    return tree;
}

service loaded(const json& tree) {
    const auto result = written{tree.dump()}.load();
    CHECK(lines(result.problems) == texts{});
    CHECK(result.warnings.empty());
    REQUIRE(result.value);
    return result.value->services.at(0);
}

json with_two(const std::string& traffic) {
    auto tree = with(iris + "/deployments/green", R"({"replicas": ["http://b"]})");
    if (!traffic.empty()) tree["services"]["iris"]["traffic"] = json::parse(traffic);
    return tree;
}

} // namespace

TEST_CASE("the defaults of a service are the contract's") {
    const auto s = loaded(valid());
    CHECK(s.error_mapping == error_mapping::aks);
    CHECK(s.cors_origins.empty());
    REQUIRE(s.routes.size() == 2);
    CHECK(s.routes[0] == route{"/score", "/score", false, {"GET", "HEAD", "POST"}, true});
    CHECK(s.routes[1] == route{"/swagger.json", "/swagger.json", false, {"GET", "HEAD", "POST"}, true});
    REQUIRE(s.deployments.size() == 1);
    CHECK(s.deployments[0].traffic == 100);
    CHECK_FALSE(s.deployments[0].host_header);
    const auto& r = s.deployments[0].settings;
    CHECK(r.max_concurrent_requests == 1);
    CHECK(r.max_queue_wait == 500ms);
    CHECK_FALSE(r.max_queue_length);
    CHECK(r.on_abandon == on_abandon::finish);
    CHECK(r.abandon_max == 300s);
}

TEST_CASE("everything about a deployment is read") {
    auto tree = with(blue, R"({"replicas": ["http://a"], "host_header": "model:8080", "request_settings": {
        "max_concurrent_requests_per_instance": null, "max_queue_wait_ms": 0, "max_queue_length": 0,
        "on_abandon": "cancel", "abandon_max_ms": 7}})");
    const auto s = loaded(tree);
    CHECK(s.deployments[0].host_header == "model:8080");
    const auto& r = s.deployments[0].settings;
    CHECK_FALSE(r.max_concurrent_requests);
    CHECK(r.max_queue_wait == 0ms);
    CHECK(r.max_queue_length == 0);
    CHECK(r.on_abandon == on_abandon::cancel);
    CHECK(r.abandon_max == 7ms);
    CHECK(loaded(with(iris + "/error_mapping", "\"managed\"")).error_mapping == error_mapping::managed);
    CHECK(loaded(with(iris + "/error_mapping", "\"passthrough\"")).error_mapping == error_mapping::passthrough);
}

TEST_CASE("traffic is divided in percent, and may be none") {
    struct row {
        std::string traffic;
        unsigned blue, green;
    };
    const auto one = GENERATE(values<row>({
        {R"({"blue": 90, "green": 10})", 90, 10},
        {R"({"blue": 0, "green": 0})", 0, 0},
        {R"({})", 0, 0},
        {R"({"green": 100})", 0, 100},
    }));
    const auto s = loaded(with_two(one.traffic));
    REQUIRE(s.deployments.size() == 2);
    CHECK(s.deployments[0].name == "blue");
    CHECK(s.deployments[0].traffic == one.blue);
    CHECK(s.deployments[1].traffic == one.green);
    CHECK(loaded(with(iris + "/traffic", R"({"blue": 0})")).deployments[0].traffic == 0);
}

TEST_CASE("https:// replicas, and what they have to prove") {
    const auto plain = loaded(valid()).deployments[0];
    CHECK_FALSE(plain.replicas[0].tls);
    CHECK_FALSE(plain.replica_tls.ca_file);
    CHECK_FALSE(plain.replica_tls.server_name);

    const auto made = loaded(with(blue, R"({"replicas": ["https://A", "https://b:8443", "http://c"],
        "replica_tls": {"ca_file": "ca/models.pem", "server_name": "Models.internal"}})"))
                          .deployments[0];
    CHECK(made.replicas[0].tls);
    CHECK(made.replicas[0].host == "a");
    CHECK(made.replicas[0].port == 443);
    CHECK(made.replicas[1].port == 8443);
    CHECK_FALSE(made.replicas[2].tls);
    CHECK(made.replicas[2].port == 80);
    CHECK(made.replica_tls.ca_file->starts_with("/"));
    CHECK(made.replica_tls.ca_file->ends_with("/ca/models.pem"));
    CHECK(made.replica_tls.server_name == "models.internal");
    CHECK(made.replica_tls.pointer == blue + "/replica_tls");

    const auto unused = written{with(blue + "/replica_tls", R"({"ca_file": "ca.pem"})").dump()}.load();
    REQUIRE(unused.warnings.size() == 1);
    CHECK_THAT(unused.warnings[0], Catch::Contains(blue + "/replica_tls") && Catch::Contains("no replica is https://"));
    CHECK_FALSE(unused.value->services.at(0).deployments[0].replica_tls.ca_file);
}

TEST_CASE("mirrored traffic goes to one deployment that has none of its own") {
    auto tree = with_two(R"({"blue": 100})");
    CHECK(loaded(tree).deployments[1].mirror_traffic == 0);
    tree["services"]["iris"]["mirror_traffic"] = json::parse(R"({"green": 10})");
    const auto s = loaded(tree);
    CHECK(s.deployments[0].mirror_traffic == 0);
    CHECK(s.deployments[1].mirror_traffic == 10);

    struct row {
        std::string mirror, pointer, fragment;
    };
    const auto at = iris + "/mirror_traffic";
    for (const auto& one : std::vector<row>{
             {R"({"blue": 10})", at + "/blue", "has live traffic"},
             {R"({"grey": 10})", at + "/grey", "not one of the deployments"},
             {R"({"green": 51})", at + "/green", "from 0 to 50"},
             {R"({"green": 10, "grey": 10})", at + "/grey", ""},
             {"10", at, "must be an object"},
         }) {
        CAPTURE(one.mirror);
        tree["services"]["iris"]["mirror_traffic"] = json::parse(one.mirror);
        const auto result = written{tree.dump()}.load();
        CHECK_FALSE(result.value);
        REQUIRE_FALSE(result.problems.empty());
        CHECK(result.problems.back().pointer == (one.fragment.empty() ? at : one.pointer));
        CHECK_THAT(result.problems.back().message,
                   Catch::Contains(one.fragment.empty() ? "more than one deployment" : one.fragment));
    }
}

namespace {

const std::string probe = blue + "/readiness_probe";

readiness_probe probed(const std::string& value) {
    const auto made = loaded(with(probe, value)).deployments.at(0).readiness_probe;
    REQUIRE(made);
    return *made;
}

} // namespace

TEST_CASE("replicas are probed when that is written, in Azure's words") {
    CHECK_FALSE(loaded(valid()).deployments.at(0).readiness_probe);
    CHECK_FALSE(loaded(with(probe, "null")).deployments.at(0).readiness_probe);

    const auto plain = probed("{}");
    CHECK(plain.path == "/");
    CHECK(plain.initial_delay == 10s);
    CHECK(plain.period == 10s);
    CHECK(plain.timeout == 2s);
    CHECK(plain.success_threshold == 1);
    CHECK(plain.failure_threshold == 3);
    CHECK(plain.expected == std::vector<status_codes>{{200, 399}});
    CHECK(plain.headers.empty());

    const auto all = probed(R"({"path": "/ready?full=1", "initial_delay": 0, "period": 3, "timeout": 3,
        "success_threshold": 4, "failure_threshold": 5, "expected_codes": [204, "301", "400-499"],
        "headers": {"X-Api-Key": "s3cret", "Accept": "*/*"}})");
    CHECK(all.path == "/ready?full=1");
    CHECK(all.initial_delay == 0s);
    CHECK(all.period == 3s);
    CHECK(all.timeout == 3s);
    CHECK(all.success_threshold == 4);
    CHECK(all.failure_threshold == 5);
    CHECK(all.expected == std::vector<status_codes>{{204, 204}, {301, 301}, {400, 499}});
    CHECK(all.headers == std::map<std::string, std::string>{{"X-Api-Key", "s3cret"}, {"Accept", "*/*"}});

    const written file{with(probe, R"({"preset": "vllm"})").dump()};
    const auto under = "services.iris.deployments.blue.readiness_probe.";
    const auto set = file.load_with({under + std::string("expected_codes=200,202-204"),
                                     under + std::string("headers.X-Api-Key=0"), under + std::string("period=2")});
    CHECK(lines(set.problems) == texts{});
    const auto& made = set.value.value().services.at(0).deployments.at(0).readiness_probe.value();
    CHECK(made.expected == std::vector<status_codes>{{200, 200}, {202, 204}});
    CHECK(made.headers.at("X-Api-Key") == "0");
    CHECK(made.period == 2s);
}

TEST_CASE("a preset knows where its kind of model server answers; what is written beside it counts") {
    struct row {
        std::string preset, path;
    };
    const auto one = GENERATE(values<row>({{"azureml", "/"},
                                           {"kserve", "/v2/health/ready"},
                                           {"triton", "/v2/health/ready"},
                                           {"vllm", "/health"},
                                           {"torchserve", "/ping"}}));
    CAPTURE(one.preset);
    const auto made = probed(R"({"preset": ")" + one.preset + R"("})");
    CHECK(made.path == one.path);
    CHECK(made.expected == std::vector<status_codes>{{200, 200}});
    const auto written = probed(R"({"path": "/mine", "expected_codes": [503], "preset": ")" + one.preset + R"("})");
    CHECK(written.path == "/mine");
    CHECK(written.expected == std::vector<status_codes>{{503, 503}});
    CHECK(probed(R"({"preset": "tfserving", "path": "/v1/models/iris"})").path == "/v1/models/iris");
}

TEST_CASE("what is wrong with a probe is refused at its pointer, and no value of a header is shown") {
    struct row {
        std::string value, key, fragment;
    };
    const auto one = GENERATE(values<row>({
        {"[]", "", "must be an object or null"},
        {R"({"preset": "ray"})", "/preset", "\"azureml\" or \"kserve\""},
        {R"({"preset": "tfserving"})", "/path", "is missing: TensorFlow Serving"},
        {R"({"path": "health"})", "/path", "with its first slash"},
        {R"({"path": "/a b"})", "/path", "is not a path to ask for"},
        {R"({"path": "/a#b"})", "/path", "is not a path to ask for"},
        {R"({"path": "/a\r\nX: y"})", "/path", "is not a path to ask for"},
        {R"({"period": 0})", "/period", "from 1 to 86400 s"},
        {R"({"timeout": 0.5})", "/timeout", "must be an integer"},
        {R"({"timeout": 61})", "/timeout",
         "from 1 to 60 s (a probe that hangs holds a slot of its replica for so long)"},
        {R"({"initial_delay": -1})", "/initial_delay", "from 0 to 86400 s"},
        {R"({"success_threshold": 0})", "/success_threshold", "from 1 to 1000"},
        {R"({"failure_threshold": 1001})", "/failure_threshold", "from 1 to 1000"},
        {R"({"expected_codes": []})", "/expected_codes", "is empty"},
        {R"({"expected_codes": [99]})", "/expected_codes/0", "is not a status code to expect"},
        {R"({"expected_codes": [200, "199-300"]})", "/expected_codes/1", "is not a status code to expect"},
        {R"({"expected_codes": ["300-200"]})", "/expected_codes/0", "is not a status code to expect"},
        {R"({"expected_codes": ["200-"]})", "/expected_codes/0", "is not a status code to expect"},
        {R"({"expected_codes": [200.5]})", "/expected_codes/0", "must be an integer or a string"},
        {R"({"headers": {"Host": "s3cret"}})", "/headers/Host", "is set by host_header"},
        {R"({"headers": {"transfer-Encoding": "s3cret"}})", "/headers/transfer-Encoding", "scoregate says itself"},
        {R"({"headers": {"X:": "s3cret"}})", "/headers/X:", "is not the name of a header field"},
        {R"({"headers": {"X-Key": "s3cret\n"}})", "/headers/X-Key", "cannot be the value of a header field"},
        {R"({"headers": {"X-Key": " s3cret"}})", "/headers/X-Key", "cannot be the value of a header field"},
        {R"({"headers": {"X-Key": ["s3cret"]}})", "/headers/X-Key", "must be a string"},
        {R"({"headers": {"X-Key": "s3cret", "x-key": "s3cret"}})", "/headers/x-key", "is given more than once"},
        {R"({"initial_delay_ms": 5})", "/initial_delay_ms", "is not a key"},
    }));
    CAPTURE(one.value);
    const auto result = written{with(probe, one.value).dump()}.load();
    REQUIRE(pointers(result.problems) == probe + one.key + "\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));
    CHECK_THAT(to_string(result.problems[0]), !Catch::Contains("s3cret"));
}

TEST_CASE("a probe that may take longer than its period is told") {
    const auto result = written{with(probe, R"({"period": 5, "timeout": 6})").dump()}.load();
    REQUIRE(result.value);
    REQUIRE(result.warnings.size() == 1);
    CHECK_THAT(result.warnings[0],
               Catch::Contains(probe + "/timeout") && Catch::Contains("is more than period, which is 5 s"));
}

TEST_CASE("a replica that counts for two caps is told") {
    auto tree = with(iris + "/deployments/green", R"({"replicas": ["http://b", "https://127.0.0.1:5001"]})");
    tree["services"]["iris"]["traffic"] = {{"blue", 100}};
    const auto result = written{tree.dump()}.load();
    REQUIRE(result.value);
    REQUIRE(result.warnings.size() == 1);
    CHECK_THAT(result.warnings[0], Catch::Contains(iris + "/deployments/green/replicas") &&
                                       Catch::Contains("is in " + blue + "/replicas too"));
    tree["services"]["iris"]["deployments"]["green"]["request_settings"] = {
        {"max_concurrent_requests_per_instance", nullptr}};
    CHECK(written{tree.dump()}.load().warnings.empty());
}

TEST_CASE("collected bodies need memory for more than one") {
    const auto result =
        written{with("/limits", R"({"request_buffer_bytes": 1000000, "buffer_memory_bytes": 2000000})").dump()}.load();
    REQUIRE(result.problems.size() == 1);
    CHECK(result.problems[0].pointer == "/limits/buffer_memory_bytes");
    CHECK_THAT(result.problems[0].message, Catch::Contains("four times request_buffer_bytes"));
}

TEST_CASE("routes: paths, subtrees, methods; exact ones first, then the longer subtree") {
    const auto s = loaded(with(iris + "/routes", R"({
        "*": "/*", "v1/*": {"path": "/models/*", "methods": ["POST", "DELETE"]}, "score": "/predict",
        "v1/models/*": "/m/*", "health": {"path": "/", "methods": ["GET"], "idempotent": true},
        "swagger.json": {"path": "/s.json", "idempotent": false}, "v1/chat/completions": "/v1/chat/completions" })"));
    const texts usual{"GET", "HEAD", "POST"};
    CHECK(s.routes == std::vector<route>{{"/v1/chat/completions", "/v1/chat/completions", false, usual, false},
                                         {"/swagger.json", "/s.json", false, usual, false},
                                         {"/health", "/", false, {"GET"}, true},
                                         {"/score", "/predict", false, usual, true},
                                         {"/v1/models", "/m", true, usual, false},
                                         {"/v1", "/models", true, {"POST", "DELETE"}, false},
                                         {"", "", true, usual, false}});
}

TEST_CASE("origins are kept as browsers send them") {
    const auto s =
        loaded(with(iris + "/cors", R"({"allow_origins": ["https://App.Contoso.com", "http://localhost:3000"]})"));
    CHECK(s.cors_origins == texts{"https://app.contoso.com", "http://localhost:3000"});
    CHECK(loaded(with(iris + "/cors", R"({"allow_origins": ["*"]})")).cors_origins == texts{"*"});
}

TEST_CASE("a rate limit: of each key, or of each address; the burst is a second's by default") {
    CHECK_FALSE(loaded(valid()).rate_limit);
    CHECK_FALSE(loaded(with(iris + "/rate_limit", "null")).rate_limit);
    auto tree = with(iris + "/rate_limit", R"({"requests_per_second": 50, "burst": 100, "by": "address"})");
    using by = rate_limit::caller;
    CHECK(loaded(tree).rate_limit == rate_limit{50, 100, by::address});
    tree["services"]["iris"]["rate_limit"] = {{"requests_per_second", 0.25}, {"by", "address"}};
    CHECK(loaded(tree).rate_limit == rate_limit{0.25, {}, by::address});
    tree["services"]["iris"] = {{"keys", {{"primary_file", "k"}}},
                                {"rate_limit", {{"requests_per_second", 1e6}}},
                                {"deployments", tree["services"]["iris"]["deployments"]}};
    CHECK(loaded(tree).rate_limit == rate_limit{1e6, {}, by::key});
    const auto set = written{tree.dump()}.load_with(
        {"services.iris.rate_limit.requests_per_second=0.5", "services.iris.rate_limit.burst=7"});
    CHECK(lines(set.problems) == texts{});
    REQUIRE(set.value);
    CHECK(set.value->services.at(0).rate_limit == rate_limit{0.5, 7, by::key});
}

TEST_CASE("what is wrong with a service is refused at its pointer, with what to do") {
    struct row {
        std::string at, value, pointer, fragment;
    };
    const auto settings = blue + "/request_settings";
    const auto rate = iris + "/rate_limit/requests_per_second";
    const auto one = GENERATE_COPY(values<row>({
        {iris + "/traffic", R"({"blue": 99})", iris + "/traffic", "sums to 99: make it 100, or 0"},
        {iris + "/traffic", R"({"blue": 101})", iris + "/traffic/blue", "from 0 to 100"},
        {iris + "/traffic", R"({"blue": 50.5})", iris + "/traffic/blue", "must be an integer"},
        {iris + "/traffic", R"({"blue": 100, "green": 0})", iris + "/traffic/green", "not one of the deployments"},
        {iris + "/traffic", "[]", iris + "/traffic", "must be an object"},
        {iris + "/deployments/green", R"({"replicas": ["http://b"]})", iris + "/traffic", "is missing: with several"},
        {iris + "/error_mapping", "\"none\"", iris + "/error_mapping", "must be \"aks\" or \"managed\""},
        {iris + "/cors", R"({"allow_origins": ["*", "https://a"]})", iris + "/cors/allow_origins/0", "every origin"},
        {iris + "/cors", R"({"allow_origins": ["a.contoso.com"]})", iris + "/cors/allow_origins/0", "not an origin"},
        {iris + "/cors", R"({"allow_origins": ["https://a/"]})", iris + "/cors/allow_origins/0", "not an origin"},
        {iris + "/cors", R"({"allow_origins": ["https://a:443"]})", iris + "/cors/allow_origins/0",
         "browsers leave out"},
        {iris + "/cors", R"({"allowOrigins": []})", iris + "/cors/allowOrigins", "did you mean \"allow_origins\"?"},
        {iris + "/routes", "{}", iris + "/routes", "is empty"},
        {iris + "/routes", R"({"/score": "/score"})", iris + "/routes/~1score", "is not a route"},
        {iris + "/routes", R"({"a/../b": "/score"})", iris + "/routes/a~1..~1b", "is not a route"},
        {iris + "/routes", R"({"a*": "/score"})", iris + "/routes/a*", "is not a route"},
        {iris + "/routes", R"({"score": "score"})", iris + "/routes/score", "is not a path of a replica"},
        {iris + "/routes", R"({"score": "/a//b"})", iris + "/routes/score", "is not a path of a replica"},
        {iris + "/routes", R"({"score": "/a?b"})", iris + "/routes/score", "is not a path of a replica"},
        {iris + "/routes", R"({"score": "/a%2fb"})", iris + "/routes/score", "is not a path of a replica"},
        {iris + "/routes", R"({"score": 5})", iris + "/routes/score", "must be a string or an object"},
        {iris + "/routes", R"({"score": {}})", iris + "/routes/score/path", "is missing"},
        {iris + "/routes", R"({"v1/*": "/v1"})", iris + "/routes/v1~1*", "has to end in /*"},
        {iris + "/routes", R"({"v1": "/v1/*"})", iris + "/routes/v1", "the route has to end in /*"},
        {iris + "/routes", R"({"score": {"path": "/s", "methods": ["post"]}})", iris + "/routes/score/methods/0",
         "not a method"},
        {iris + "/routes", R"({"score": {"path": "/s", "methods": ["OPTIONS"]}})", iris + "/routes/score/methods/0",
         "cors"},
        {iris + "/routes", R"({"score": {"path": "/s", "methods": []}})", iris + "/routes/score/methods", "is empty"},
        {iris + "/rate_limit", "50", iris + "/rate_limit", "must be an object or null"},
        {iris + "/rate_limit", R"({"by": "address"})", rate, "is missing: say how many requests"},
        {iris + "/rate_limit", R"({"requests_per_second": 0, "by": "address"})", rate, "from 0.001 to 1000000, not 0"},
        {iris + "/rate_limit", R"({"requests_per_second": 0.0009, "by": "address"})", rate, "from 0.001 to 1000000"},
        {iris + "/rate_limit", R"({"requests_per_second": 1000000.5, "by": "address"})", rate, "from 0.001 to 1000000"},
        {iris + "/rate_limit", R"({"requests_per_second": -1, "by": "address"})", rate, "a number from 0.001"},
        {iris + "/rate_limit", R"({"requests_per_second": "50", "by": "address"})", rate, "not the string \"50\""},
        {iris + "/rate_limit", R"({"requests_per_second": null, "by": "address"})", rate, "not null"},
        {iris + "/rate_limit", R"({"requests_per_second": 1, "burst": 0, "by": "address"})", iris + "/rate_limit/burst",
         "from 1 to 1000000, or null"},
        {iris + "/rate_limit", R"({"requests_per_second": 1, "burst": 1.5, "by": "address"})",
         iris + "/rate_limit/burst", "must be an integer"},
        {iris + "/rate_limit", R"({"requests_per_second": 1, "by": "ip"})", iris + "/rate_limit/by",
         "must be \"key\" or \"address\""},
        {iris + "/rate_limit", R"({"requests_per_second": 1})", iris + "/rate_limit/by", "write \"by\": \"address\""},
        {iris + "/rate_limit", R"({"requests_per_second": 1, "by": "key"})", iris + "/rate_limit/by",
         "write \"by\": \"address\""},
        {iris + "/rate_limit", R"({"requests_per_second": 1, "by": "address", "rate": 1})", iris + "/rate_limit/rate",
         "is not a key of scoregate"},
        {blue + "/host_header", "\"http://a\"", blue + "/host_header", "write HOST or HOST:PORT"},
        {blue + "/host_header", "\"a:0\"", blue + "/host_header", "write HOST or HOST:PORT"},
        {settings + "/max_concurrent_requests_per_instance", "0", settings + "/max_concurrent_requests_per_instance",
         "from 1 to 1000000, or null"},
        {settings + "/max_queue_length", "-1", settings + "/max_queue_length", "from 0 to 1000000, or null"},
        {settings + "/max_queue_wait_ms", "null", settings + "/max_queue_wait_ms", "must be an integer"},
        {settings + "/on_abandon", "\"wait\"", settings + "/on_abandon", "must be \"finish\" or \"cancel\""},
    }));
    CAPTURE(one.at, one.value);
    const auto result = written{with(one.at, one.value).dump()}.load();
    CHECK_FALSE(result.value);
    CAPTURE(lines(result.problems));
    REQUIRE(pointers(result.problems) == one.pointer + "\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));
}

TEST_CASE("a service can be overridden") {
    const written file{with_two(R"({"blue": 100, "green": 0})").dump()};
    const auto result =
        file.load_with({"services.iris.traffic.blue=90", "services.iris.traffic.green=10",
                        "services.iris.deployments.blue.request_settings.max_concurrent_requests_per_instance=null",
                        "services.iris.deployments.blue.request_settings.max_queue_length=7",
                        "services.iris.cors.allow_origins=https://a,https://b", "services.iris.error_mapping=managed"});
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    const auto& s = result.value->services.at(0);
    CHECK(s.deployments.at(0).traffic == 90);
    CHECK(s.deployments.at(1).traffic == 10);
    CHECK_FALSE(s.deployments.at(0).settings.max_concurrent_requests);
    CHECK(s.deployments.at(0).settings.max_queue_length == 7);
    CHECK(s.cors_origins == texts{"https://a", "https://b"});
    CHECK(s.error_mapping == error_mapping::managed);
}
