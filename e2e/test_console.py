"""The web console in a browser: what a person sees, does by keyboard, and is told; and what a page must never do."""

import contextlib
import datetime
import http.client
import json
import subprocess
import urllib.error
import urllib.request

import pytest
from selenium.webdriver.common.keys import Keys

from browser import Browser
from conftest import BIN, REGION, eventually

VIEWS = {
    "/console/": "Overview",
    "/console/clusters": "Clusters",
    "/console/clusters/lab": "lab",
    "/console/clusters/lab?show=tasks": "lab",
    "/console/clusters/lab?show=instances": "lab",
    "/console/create-cluster": "Create a cluster",
    "/console/definitions": "Task definitions",
    "/console/definitions/shown": "shown",
    "/console/definitions/shown?from=1&to=2": "shown",
    "/console/definitions/shown/1": "shown:1",
    "/console/register-definition": "Register a task definition",
    "/console/repositories": "Repositories",
    "/console/repositories/busybox": "busybox",
    "/console/create-repository": "Create a repository",
    "/console/load-balancers": "Load balancers",
    "/console/logs": "Logs",
    "/console/logs/%2Flab": "/lab",
    "/console/metrics": "Metrics",
    "/console/metrics/Shown/Depth?Queue=one": "Depth",
    "/console/run-task": "Run a task",
    "/console/create-service": "Create a service",
}


NAMELESS = """
const name = (e) => (e.getAttribute('aria-label') || e.innerText || e.title || [...(e.labels ?? [])].map((l) => l.innerText).join('') || '').trim();
const wrong = [];
for (const e of document.querySelectorAll('a, button, input, select, textarea, [role=log], pre[tabindex]')) if (!name(e)) wrong.push(e.outerHTML.slice(0, 120));
for (const e of document.querySelectorAll('img:not([alt]), table:not([aria-label]), dialog:not([aria-labelledby])')) wrong.push(e.outerHTML.slice(0, 120));
const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
for (const id of ids) if (ids.filter((other) => other === id).length > 1) wrong.push(`twice: ${id}`);
for (const e of document.querySelectorAll('[aria-describedby], [aria-labelledby], [aria-controls]'))
  for (const n of ['aria-describedby', 'aria-labelledby', 'aria-controls'])
    if (e.getAttribute(n) && !document.getElementById(e.getAttribute(n))) wrong.push(`${n} of ${e.outerHTML.slice(0, 80)}`);
for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) wrong.push('a tab order of its own');
if (document.querySelectorAll('h1').length !== 1) wrong.push('h1');
if (document.querySelectorAll('main').length !== 1 || !document.querySelector('nav[aria-label]')) wrong.push('landmarks');
if (!document.documentElement.lang) wrong.push('lang');
return wrong;
"""

# WCAG 2: relative luminance, and the ratio of two.
PALE = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return rgb('white'); };
const wrong = [];
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!own || !e.checkVisibility({opacityProperty: true, visibilityProperty: true}) || e.closest('.visually-hidden, .said, .mark, option') || e.disabled) continue;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) wrong.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className} ${e.innerText.slice(0, 40)}`);
}
return wrong;
"""


@pytest.fixture(scope="module")
def shown(lab):
    """A lab with something to look at: a family of two revisions, a task that talks, one that failed."""
    talks = lab.container(script="i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done", portMappings=[{"containerPort": 80}])
    lab.talking = lab.run(talks, family="shown", public=True)
    lab.failed = lab.run(lab.container(script="echo no; exit 3"), family="shown")
    lab.running(lab.talking)
    lab.stopped(lab.failed)
    yield lab
    lab.ecs.stop_task(cluster=lab.cluster, task=lab.talking)
    lab.stopped(lab.talking)


@pytest.fixture(scope="module")
def browser(platform):
    browser = Browser(platform.endpoint)
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def no_complaints(request):
    """Whatever a test does, its page asks nobody else and runs into no error of its own."""
    yield
    if "browser" in request.fixturenames:
        browser = request.getfixturevalue("browser")
        # Operations that are not there yet answer 501.
        browser.expects("status of 501")
        assert browser.account() == ([], [])


def ask(platform, path, method="GET", body=None, **headers):
    """A bare request: status, headers, body. Redirects are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    result = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return result


def task_of(browser):
    return browser.path.split("/tasks/")[1].split("?")[0]


# The front door


def test_a_visitor_is_led_to_the_console_and_a_client_is_not(platform):
    status, headers, _ = ask(platform, "/", Accept="text/html,*/*;q=0.8")
    assert (status, headers["location"]) == (302, "/console/")
    status, headers, body = ask(platform, "/console/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert ask(platform, "/console/", **{"If-None-Match": headers["etag"]})[0] == 304
    assert ask(platform, "/console/clusters/lab")[2] == body
    assert ask(platform, "/console/assets/none.js")[0] == 404
    # Clients send no wish for a page, and what they ask the root is the API's as before.
    assert ask(platform, "/", Accept="*/*")[0] != 302
    status, _, body = ask(platform, "/?Action=GetCallerIdentity&Version=2011-06-15", Accept="text/html")
    assert status == 200 and b"GetCallerIdentityResult" in body


def test_pages_of_others_may_not_speak_for_the_user(platform):
    target = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters", "Content-Type": "application/x-amz-json-1.1"}
    own = f"127.0.0.1:{platform.port}"
    for allowed in ({}, {"Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}):
        assert ask(platform, "/", "POST", "{}", **target, **allowed)[0] == 200, allowed
    for foreign in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        # What listens on another port of this machine may be a container.
        {"Origin": f"http://127.0.0.1:{platform.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        # A name of somebody else's that resolves here.
        {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ):
        for path, method in (("/", "POST"), ("/console/changes", "GET")):
            assert ask(platform, path, method, "{}", **target, **foreign)[0] == 403, (path, foreign)
    # A link from elsewhere may lead to the console, whose files are nobody's secret; a stranger's name may not.
    assert ask(platform, "/console/", **{"Sec-Fetch-Site": "cross-site"})[0] == 200
    assert ask(platform, "/console/", Host="evil.example")[0] == 403


@contextlib.contextmanager
def listening(platform, most=100):
    """Takes every stream of changes that there is."""
    held = []
    try:
        for _ in range(most):
            connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=20)
            connection.request("GET", "/console/changes")
            answer = connection.getresponse()
            held.append((connection, answer))
            if answer.status == 503:
                break
            first = json.loads(answer.readline())
            assert first["region"] == REGION and first["revision"] > 0
        yield held
    finally:
        for connection, _ in held:
            connection.close()


def test_a_change_is_told_by_its_kind_only(platform):
    with listening(platform, most=1) as [(_, stream)]:
        platform.client("ecs").create_cluster(clusterName="told-of")
        line = json.loads(stream.readline())
        assert "ecs/cluster" in line["changed"] and set(line) == {"revision", "changed"}
        platform.client("ecs", account="111111111111").create_cluster(clusterName="of-another")
        platform.client("ecs").delete_cluster(cluster="told-of")
        after = json.loads(stream.readline())
        assert "ecs/cluster" in after["changed"] and after["revision"] > line["revision"]


def test_streams_are_bounded_and_a_page_without_one_asks(platform, browser):
    with listening(platform) as held:
        assert [answer.status for _, answer in held].count(200) <= 64 and held[-1][1].status == 503
        browser.open("/console/clusters")
        browser.sees("Every 2 s", ".live")
        platform.client("ecs").create_cluster(clusterName="asked-for")
        browser.sees("asked-for")
    platform.client("ecs").delete_cluster(cluster="asked-for")
    browser.expects("/console/changes")


# What a person sees


@pytest.fixture(scope="module")
def walk(shown, platform):
    """Every view, as a browser of its own finds it: opening one takes longer than looking at it."""
    browser = Browser(platform.endpoint)
    task = shown.talking.split("/")[-1]
    paths = {
        **VIEWS,
        f"/console/clusters/lab/tasks/{task}": "…",
        f"/console/clusters/lab/tasks/{task}?show=logs": "…",
        f"/console/clusters/lab/tasks/{task}?show=metrics": "…",
        f"/console/clusters/lab/tasks/{shown.failed.split('/')[-1]}": "…",
    }
    seen = {}
    try:
        for path, title in paths.items():
            browser.look(1440, 900, "light")
            browser.open(path)
            browser.sees(title, "h1")
            eventually(lambda: not browser.all(".loading"), what=f"the content of {path}")
            found = {"alerts": browser.script("return [...document.querySelectorAll('[role=alert]')].map((e) => e.innerText)")}
            found["nameless"] = browser.script(NAMELESS)
            for scheme in ("light", "dark"):
                browser.look(1440, 900, scheme)
                found[scheme] = browser.script(PALE)
            browser.look(390, 844, "light")
            found["width"] = browser.script("return document.scrollingElement.scrollWidth")
            seen[path] = found
        browser.expects("status of 501")
        seen["account"] = browser.account()
    finally:
        browser.close()
    return seen


def views_of(walk, what):
    return {path: found[what] for path, found in walk.items() if path != "account"}


def test_every_view_opens_without_a_fault(walk):
    assert {path: alerts for path, alerts in views_of(walk, "alerts").items() if alerts} == {}
    assert walk["account"] == ([], [])


def test_everything_has_a_name_for_who_cannot_see_it(walk):
    assert {path: wrong for path, wrong in views_of(walk, "nameless").items() if wrong} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(walk, scheme):
    assert {path: wrong for path, wrong in views_of(walk, scheme).items() if wrong} == {}


def test_a_narrow_screen_scrolls_in_one_direction_only(walk):
    assert {path: width for path, width in views_of(walk, "width").items() if width > 390} == {}


def test_what_is_not_there_is_said(shown, browser):
    browser.open("/console/no/such/page")
    browser.sees("There is no such page")
    browser.open("/console/definitions/nowhere/1")
    browser.sees("ClientException")
    browser.open("/console/clusters/nowhere")
    browser.sees("There is no such cluster")
    # The page goes on asking, and is refused again.
    browser.driver.get("about:blank")
    browser.expects("status of 400")


def test_changes_show_by_themselves(platform, browser):
    browser.open("/console/clusters")
    browser.sees("Live", ".live")
    browser.script("window.sameDocument = true")
    platform.client("ecs").create_cluster(clusterName="appears")
    browser.sees("appears")
    platform.client("ecs").delete_cluster(cluster="appears")
    eventually(lambda: "appears" not in browser.text(), what="the cluster's row to go")
    assert browser.script("return window.sameDocument")


def test_a_task_shows_its_address_its_containers_and_its_end(shown, browser):
    browser.open(f"/console/clusters/lab/tasks/{shown.talking.split('/')[-1]}")
    text = browser.sees("RUNNING")
    described = shown.describe(shown.talking)
    assert shown.address(described) in text and shown.public_address(described) in text
    browser.open(f"/console/clusters/lab/tasks/{shown.failed.split('/')[-1]}")
    text = browser.sees("STOPPED")
    assert "Essential container in task exited" in text
    assert browser.text("td[data-label='Exit code']") == "3"


def test_logs_of_a_task_and_of_a_group_are_followed(shown, browser):
    browser.open(f"/console/clusters/lab/tasks/{shown.talking.split('/')[-1]}?show=logs")
    browser.sees("line ", ".log")
    before = len(browser.all(".log .line"))
    eventually(lambda: len(browser.all(".log .line")) > before, what="more lines")
    browser.open("/console/logs/%2Flab")
    browser.sees("line ", ".log")
    seen = lambda: browser.script("return [...document.querySelectorAll('.log .text')].map(e => e.innerText).filter(t => t.startsWith('line '))")
    first = seen()
    later = eventually(lambda: len(seen()) > len(first) + 3 and seen(), what="events of the live tail")
    # From what was there to what came in: nothing twice, nothing left out.
    numbers = [int(line.split()[1]) for line in later]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    browser.find("#filter").send_keys("no such line")
    browser.sees("No line matches", ".log")


def test_revisions_are_compared(shown, browser):
    browser.open("/console/definitions/shown?from=1&to=2")
    browser.sees("exit 3", ".diff .new")
    assert "line $i" in browser.text(".diff .gone")


# What a person does


def test_everything_is_reached_by_keyboard(platform, browser):
    browser.open("/console/")
    browser.sees("Running tasks")
    browser.press(Keys.TAB)
    assert browser.focused() == "Skip to content"
    browser.press(Keys.ENTER)
    assert browser.script("return document.activeElement.id") == "main"
    browser.press("?")
    browser.sees("Keyboard shortcuts", "dialog")
    browser.press(Keys.ESCAPE)
    eventually(lambda: not browser.all("dialog"), what="the dialog to close")
    assert browser.script("return document.activeElement.id") == "main"
    for keys, title in (("gc", "Clusters"), ("gt", "Task definitions"), ("gr", "Repositories"), ("gb", "Load balancers"), ("gl", "Logs"), ("gm", "Metrics"), ("go", "Overview")):
        browser.press(*keys)
        browser.sees(title, "h1")
        assert browser.script("return document.title") == f"{title} · Longshore"
    # The order is that of the page: the navigation from top to bottom, then the content.
    browser.open("/console/")
    browser.sees("Running tasks")
    order = []
    for _ in range(20):
        browser.press(Keys.TAB)
        order.append(browser.focused().split("\n")[0])
    sections = ["Overview", "Clusters", "Task definitions", "Repositories", "Load balancers", "Logs", "Metrics"]
    assert order[0] == "Skip to content" and [name for name in order if name in sections][:7] == sections


def test_a_cluster_is_created_and_deleted_by_keyboard(platform, browser):
    browser.open("/console/")
    browser.sees("Running tasks")
    browser.press("n", "c")
    browser.sees("Create a cluster", "h1")
    browser.type_into("Name", "by-hand")
    browser.sees("--cluster-name by-hand", ".aside")
    browser.press(Keys.ENTER)
    browser.sees("by-hand", "h1")
    browser.sees("No service in this cluster")
    assert browser.path == "/console/clusters/by-hand"
    browser.press("u")
    browser.sees("Clusters", "h1")
    browser.sees("by-hand")
    browser.press("j")
    browser.tab_to("by-hand")
    browser.press(Keys.ENTER)
    browser.sees("by-hand", "h1")
    browser.tab_to("Delete")
    browser.press(Keys.ENTER)
    browser.sees("Delete by-hand?", "dialog")
    browser.press(Keys.ENTER)
    browser.sees("Clusters", "h1")
    eventually(lambda: "by-hand" not in browser.text(".table-frame"), what="the row to go")
    assert platform.client("ecs").describe_clusters(clusters=["by-hand"])["clusters"][0]["status"] == "INACTIVE"


def test_a_task_is_run_followed_and_stopped_by_keyboard(shown, browser):
    browser.open("/console/")
    browser.sees("Running tasks")
    browser.script("window.sameDocument = true")
    browser.press("n", "t")
    browser.sees("Run a task", "h1")
    browser.tab_to("Task definition")
    for letter in "shown:1":
        browser.press(letter)
    browser.type_into("Command instead of the definition's", "\"trap 'exit 0' TERM; echo typed by hand; while true; do sleep 0.1; done\"")
    browser.sees("echo typed by hand", ".aside")
    browser.sees("--task-definition shown:1", ".aside")
    browser.press(Keys.ENTER)
    browser.sees("RUNNING", "#task-status")
    task = task_of(browser)
    # From the title on: the first "Logs" is the section.
    browser.tab_to("Stop")
    browser.tab_to("Logs")
    browser.press(Keys.ENTER)
    browser.sees("typed by hand", ".log")
    assert browser.path == f"/console/clusters/lab/tasks/{task}?show=logs" and browser.script("return window.sameDocument")
    browser.tab_to("Stop")
    browser.press(Keys.ENTER)
    browser.sees("Stop this task?", "dialog")
    browser.press(Keys.ENTER)
    browser.sees("Stopped in the console")
    browser.sees("STOPPED", "#task-status")
    assert shown.stopped(task)["stoppedReason"] == "Stopped in the console"


def test_a_refusal_is_shown_in_the_words_of_the_api(shown, browser):
    browser.open("/console/register-definition")
    browser.sees("Register a task definition", "h1")
    browser.type_into("Definition", "{")
    browser.sees("This is not a task definition yet")
    browser.type_into("Definition", json.dumps({"family": "wrong", "containerDefinitions": []}))
    browser.tab_to("Register")
    browser.press(Keys.ENTER)
    with pytest.raises(shown.ecs.exceptions.ClientException) as refused:
        shown.ecs.register_task_definition(family="wrong", containerDefinitions=[])
    browser.sees(refused.value.response["Error"]["Message"], "[role=alert]")
    assert "ClientException" in browser.text("[role=alert]")
    browser.expects("status of 400")


def test_a_refusal_says_what_to_do(shown, browser):
    browser.open("/console/create-repository")
    browser.sees("Create a repository", "h1")
    browser.type_into("Name", "team/twice")
    browser.press(Keys.ENTER)
    browser.sees("team/twice", "h1")
    browser.press("n", "r")
    browser.type_into("Name", "team/twice")
    browser.press(Keys.ENTER)
    browser.sees("RepositoryAlreadyExistsException", "[role=alert]")
    browser.sees("Choose another", "[role=alert]")
    shown.platform.client("ecr").delete_repository(repositoryName="team/twice")
    # On machines of one's own there is nothing in this cluster.
    shown.ecs.create_cluster(clusterName="without-machines")
    on_instances = shown.ecs.register_task_definition(family="on-instances", containerDefinitions=[{"name": "app", "image": shown.image, "memory": 64}])
    name = on_instances["taskDefinition"]["taskDefinitionArn"].split("/")[1]
    browser.open(f"/console/run-task?cluster=without-machines&definition={name}")
    browser.tab_to("Launch type")
    browser.press("E")
    browser.sees("--launch-type EC2", ".aside")
    browser.tab_to("Run the task")
    browser.press(Keys.ENTER)
    browser.sees("longshore agent --cluster without-machines", "[role=alert]")
    shown.ecs.delete_cluster(cluster="without-machines")
    browser.expects("status of 400")


def test_an_instance_is_drained_by_keyboard(shown, browser):
    env = {**shown.platform.environment(), "AWS_REGION": REGION}
    agent = subprocess.Popen([BIN, "agent", "--ephemeral", "--cluster", "lab"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def instances():
        arns = shown.ecs.list_container_instances(cluster="lab")["containerInstanceArns"]
        return shown.ecs.describe_container_instances(cluster="lab", containerInstances=arns)["containerInstances"] if arns else []

    try:
        eventually(lambda: [one for one in instances() if one["agentConnected"]], 30, "the instance")
        browser.open("/console/clusters/lab?show=instances")
        browser.sees("Connected")
        [instance] = instances()
        short = instance["containerInstanceArn"].split("/")[-1]
        short = f"{short[:8]}…{short[-4:]}"
        browser.tab_to(f"Drain {short}")
        browser.press(Keys.ENTER)
        browser.sees(f"Drain {short}?", "dialog")
        browser.press(Keys.ENTER)
        browser.sees("Draining")
        assert instances()[0]["status"] == "DRAINING"
        browser.tab_to(f"Activate {short}")
        browser.press(Keys.ENTER)
        eventually(lambda: instances()[0]["status"] == "ACTIVE", what="the instance in service again")
    finally:
        # Interfaces come and go with an agent, and the browser breaks off what it was reading.
        browser.driver.get("about:blank")
        browser.expects("ERR_NETWORK_CHANGED")
        agent.terminate()
        agent.wait(60)


def test_a_metric_is_drawn(platform, browser):
    now = datetime.datetime.now(datetime.timezone.utc)
    points = [{"MetricName": "Depth", "Dimensions": [{"Name": "Queue", "Value": "one"}], "Timestamp": now - datetime.timedelta(minutes=minutes), "Value": minutes} for minutes in (1, 2, 3)]
    platform.client("cloudwatch").put_metric_data(Namespace="Shown", MetricData=points)
    browser.open("/console/metrics")
    browser.sees("Depth")
    browser.find("a[href*='Depth']").click()
    browser.sees("Depth", "h1")
    browser.sees("Average: 1 now, 3 at most in the last hour")
    assert len(browser.all("svg.chart")) == 4


def test_a_service_is_created_by_form(shown, browser):
    browser.open("/console/create-service")
    browser.sees("Create a service", "h1")
    browser.type_into("Name", "by-form")
    browser.tab_to("Task definition")
    for letter in "shown:1":
        browser.press(letter)
    browser.sees("--service-name by-form", ".aside")
    browser.tab_to("Create the service")
    browser.press(Keys.ENTER)
    browser.sees("by-form", "h1")
    browser.sees("2/2", timeout=60)
    service = shown.ecs.describe_services(cluster="lab", services=["by-form"])["services"][0]
    assert (service["desiredCount"], service["runningCount"]) == (2, 2)
    browser.tab_to("Update")
    browser.press(Keys.ENTER)
    browser.sees("Update by-form", "h1")
    browser.type_into("Desired count", "1")
    browser.press(Keys.ENTER)
    browser.sees("1/1", timeout=60)
    browser.tab_to("Delete")
    browser.press(Keys.ENTER)
    browser.sees("Delete by-form?", "dialog")
    browser.press(Keys.ENTER)
    browser.sees("lab", "h1")
    eventually(lambda: not shown.ecs.list_tasks(cluster="lab", serviceName="by-form")["taskArns"], 60, "its tasks to end")


def test_another_account_and_region(platform, browser):
    platform.client("ecs", region="eu-west-1", account="222222222222").create_cluster(clusterName="far-away")
    browser.open("/console/clusters")
    browser.sees("Live", ".live")
    assert "far-away" not in browser.text()
    browser.find("#scope").click()
    for field, value in (("account", "222222222222"), ("region", "eu-west-1")):
        entry = browser.find(f"#scope-{field}")
        entry.clear()
        entry.send_keys(value)
    browser.press(Keys.ENTER)
    browser.sees("far-away")
    browser.open("/console/")
    browser.sees("222222222222", "#scope")
    browser.script("sessionStorage.clear()")
    browser.open("/console/")
    browser.sees("000000000000", "#scope")


def test_the_strict_door_wants_a_key_and_gets_signatures(platform):
    iam = platform.client("iam")
    iam.create_user(UserName="console")
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam.put_user_policy(UserName="console", PolicyName="all", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName="console")["AccessKey"]
    door = f"http://169.254.170.2:{platform.port}"
    # Over plain HTTP a browser signs only where it trusts the page; here it is told to.
    browser = Browser(door, flags=[f"--unsafely-treat-insecure-origin-as-secure={door}"])
    try:
        browser.open("/console/clusters")
        browser.sees("Sign in", "h1")

        def sign_in(secret):
            for label, value in (("accessKey", key["AccessKeyId"]), ("secret", secret)):
                field = browser.find(f"#key-{label}")
                field.clear()
                field.send_keys(value)
            browser.press(Keys.ENTER)

        sign_in("wrong" * 8)
        browser.sees("SignatureDoesNotMatch", "[role=alert]")
        sign_in(key["SecretAccessKey"])
        browser.sees("lab")
        browser.sees("Live", ".live")
        browser.open("/console/clusters/lab")
        browser.sees("Running tasks")
        # What was typed is in this tab's memory and nowhere else.
        assert browser.script("return [localStorage.length, document.cookie]") == [0, ""]
        iam.update_access_key(UserName="console", AccessKeyId=key["AccessKeyId"], Status="Inactive")
        platform.client("ecs").create_cluster(clusterName="after-the-key")
        browser.sees("Sign in", "h1")
        assert browser.foreign_requests() == []
    finally:
        browser.close()
        iam.delete_access_key(UserName="console", AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName="console", PolicyName="all")
        iam.delete_user(UserName="console")


def test_the_navigation_folds_away(platform, browser):
    browser.look(390, 844)
    try:
        browser.open("/console/clusters")
        browser.find(".menu").click()
        browser.find("#nav a[href='/console/logs']").click()
        browser.sees("Logs", "h1")
        assert browser.find(".menu").get_attribute("aria-expanded") == "false"
    finally:
        browser.look(1440, 900)
