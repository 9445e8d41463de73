"""The facts that the static alchemist may state of a row's code, and what must be in its syntax tree for each.

Tokens are made by `static_facts` from the captures of `code_queries`: `call:heapq.heappush` (a called name with at most
one owner), `method:sort` (any owner), `type:`, `import:`, `decorator:`, `macro:`, `returns:`, `path:`, `name:`; `node:`
for a syntactic form, `form:` for what takes more than a query to see.
"""
# ruff: noqa: E501 - a table reads best with one fact a line

from typing import NamedTuple

from dataset_scripts.code_queries import QUERIES


class Fact(NamedTuple):
    """A statement about code.

    Attributes:
        kind: `concept` and `data` are noun phrases ("using a heap"), `detail` is what to do ("read the input ...").
        phrases: two wordings, so that a model cannot take one for the signal.
        evidence: language -> tokens of which one must be there, see `Reading.tokens`; a token `a&b` needs both.
    """

    name: str
    kind: str
    phrases: tuple[str, str]
    evidence: dict[str, str]


def _every(tokens: str) -> dict[str, str]:
    return dict.fromkeys(QUERIES, tokens)


FACTS = (
    # algorithms and concepts
    Fact("recursion", "concept", ("recursion", "a recursive call"), _every("form:recursion")),
    Fact(
        "dynamic_programming", "concept",
        ("dynamic programming over a table of results", "a table whose entries are computed from others of its entries"),
        _every("form:table"),
    ),
    Fact(
        "memoisation", "concept", ("memoisation, so that nothing is computed twice", "a cache of computed results"),
        {"python": "decorator:lru_cache decorator:functools.lru_cache decorator:cache decorator:functools.cache"},
    ),
    Fact(
        "sorting", "concept", ("the library's sort", "a library sort"),
        {
            "python": "call:sorted method:sort", "javascript": "method:sort method:toSorted",
            "java": "call:Arrays.sort call:Collections.sort", "cpp": "call:sort call:std.sort call:std.stable_sort",
            "go": "call:sort.Slice call:sort.Ints call:sort.Strings call:sort.Sort call:sort.Float64s "
            "call:sort.SliceStable call:slices.Sort call:slices.SortFunc",
            "rust": "method:sort method:sort_by method:sort_by_key method:sort_unstable method:sort_unstable_by",
        },
    ),
    Fact(
        "binary_search", "concept", ("binary search", "a library's binary search"),
        {
            "python": "call:bisect.bisect call:bisect.bisect_left call:bisect.bisect_right call:bisect.insort "
            "import:bisect&call:bisect_left import:bisect&call:bisect_right import:bisect&call:insort",
            "java": "call:Arrays.binarySearch call:Collections.binarySearch", "rust": "method:binary_search",
            "cpp": "call:std.lower_bound call:std.upper_bound call:std.binary_search call:lower_bound "
            "call:upper_bound call:binary_search",
            "go": "call:sort.Search call:sort.SearchInts call:slices.BinarySearch",
        },
    ),
    Fact("nested_loops", "concept", ("nested loops", "one loop inside another"), _every("node:nested_loops")),
    Fact("bit_operations", "concept", ("bit operations", "bitwise operators"), _every("node:bitwise")),
    Fact(
        "regular_expression", "concept", ("a regular expression", "pattern matching with a regular expression"),
        {
            "python": "call:re.compile call:re.match call:re.search call:re.sub call:re.findall call:re.fullmatch "
            "call:re.split call:re.finditer",
            "javascript": "node:regex_literal type:RegExp", "java": "call:Pattern.compile call:Pattern.matches",
            "go": "call:regexp.MustCompile call:regexp.Compile call:regexp.MatchString",
            "cpp": "import:regex&call:std.regex_match import:regex&call:std.regex_search import:regex&call:regex_match "
            "import:regex&call:std.regex_replace",
            "rust": "call:Regex.new",
        },
    ),
    Fact(
        "generator", "concept", ("a generator that yields its values one at a time", "a generator"),
        {"python": "node:yield", "javascript": "node:yield"},
    ),
    Fact(
        "async", "concept", ("asynchronous calls that are awaited", "`async` and `await`"),
        {"python": "node:await", "javascript": "node:await", "rust": "node:await"},
    ),
    Fact(
        "threads", "concept", ("threads", "concurrent threads"),
        {
            "python": "call:threading.Thread call:concurrent.ThreadPoolExecutor call:ThreadPoolExecutor "
            "call:futures.ThreadPoolExecutor import:threading&call:Thread",
            "java": "type:Thread call:Executors.newFixedThreadPool call:Executors.newCachedThreadPool "
            "call:Executors.newSingleThreadExecutor", "cpp": "call:std.thread type:std.thread import:thread",
            "rust": "call:thread.spawn",
        },
    ),
    Fact("goroutines", "concept", ("goroutines", "concurrent goroutines"), {"go": "node:goroutine"}),
    Fact(
        "lock", "concept", ("a lock around shared state", "mutual exclusion"),
        {
            "python": "call:threading.Lock call:threading.RLock call:asyncio.Lock", "java": "node:lock type:ReentrantLock",
            "cpp": "type:lock_guard type:unique_lock", "rust": "call:Mutex.new call:RwLock.new", "go": "method:Lock&import:sync",
        },
    ),
    Fact(
        "anonymous_function", "concept", ("an anonymous function", "a function without a name"),
        {"python": "node:lambda", "java": "node:lambda", "cpp": "node:lambda", "go": "node:lambda"},
    ),
    Fact("closure", "concept", ("closures", "a closure"), {"rust": "node:lambda"}),
    Fact(
        "list_comprehension", "concept", ("a list comprehension", "a comprehension that builds a list"),
        {"python": "node:list_comprehension"},
    ),
    Fact(
        "dict_comprehension", "concept", ("a dictionary comprehension", "a comprehension that builds a dictionary"),
        {"python": "node:dict_comprehension"},
    ),
    Fact(
        "set_comprehension", "concept", ("a set comprehension", "a comprehension that builds a set"),
        {"python": "node:set_comprehension"},
    ),
    Fact(
        "generator_expression", "concept", ("a generator expression", "a lazily evaluated expression"),
        {"python": "node:generator_expression"},
    ),
    Fact(
        "array_methods", "concept", ("`map`, `filter` or `reduce`", "one of `map`, `filter` and `reduce`"),
        {"javascript": "method:map method:filter method:reduce", "python": "call:map call:filter call:functools.reduce"},
    ),
    Fact("streams", "concept", ("Java streams", "the stream API"), {"java": "method:stream call:IntStream.range "
         "call:IntStream.rangeClosed call:Stream.of call:Arrays.stream call:Stream.iterate"}),
    Fact(
        "iterator_adaptors", "concept", ("iterator adaptors", "a chain of iterator adaptors"),
        {"rust": "method:map&method:collect method:filter&method:collect method:map&method:sum method:fold "
         "method:filter&method:count method:map&method:max method:map&method:min"},
    ),
    Fact(
        "pattern_matching", "concept", ("pattern matching with `match`", "a `match` expression"),
        {"python": "node:match", "rust": "node:match"},
    ),
    Fact(
        "switch", "concept", ("a `switch`", "a `switch` over the cases"),
        {language: "node:switch" for language in ("javascript", "java", "go", "cpp")},
    ),
    Fact(
        "inheritance", "concept", ("inheritance", "a class that extends another"),
        {"python": "node:base", "javascript": "node:base", "java": "node:base", "cpp": "node:base"},
    ),
    Fact(
        "generics", "concept", ("type parameters", "generics"),
        {"java": "node:generic", "go": "node:generic", "rust": "node:generic"},
    ),
    Fact("templates", "concept", ("a template", "templates"), {"cpp": "node:generic"}),
    Fact(
        "greatest_common_divisor", "concept", ("the greatest common divisor of the standard library", "a library's `gcd`"),
        {"python": "call:math.gcd import:math&call:gcd", "cpp": "call:std.gcd call:__gcd call:std.__gcd"},
    ),
    Fact(
        "combinatorics", "concept", ("the combinatoric iterators of `itertools`", "`itertools` to enumerate the candidates"),
        {
            "python": "call:itertools.permutations call:itertools.combinations call:itertools.product "
            "import:itertools&call:permutations import:itertools&call:combinations import:itertools&call:product",
        },
    ),
    # data structures
    Fact(
        "heap", "data", ("a heap", "the library's heap"),
        {
            "python": "call:heapq.heappush call:heapq.heappop call:heapq.heapify call:heapq.nlargest "
            "call:heapq.nsmallest call:heapq.merge call:heapq.heappushpop import:heapq&call:heappush "
            "import:heapq&call:heappop import:heapq&call:heapify import:heapq&call:nlargest",
            "java": "type:PriorityQueue", "cpp": "type:priority_queue", "go": "call:heap.Push call:heap.Pop call:heap.Init",
            "rust": "call:BinaryHeap.new call:BinaryHeap.from",
        },
    ),
    Fact(
        "double_ended_queue", "data", ("a double-ended queue", "a deque"),
        {
            "python": "call:deque call:collections.deque", "java": "type:ArrayDeque", "cpp": "type:deque",
            "rust": "call:VecDeque.new call:VecDeque.from call:VecDeque.with_capacity",
        },
    ),
    Fact("stack", "data", ("a stack", "the library's stack"), {"java": "type:Stack", "cpp": "type:stack"}),
    Fact(
        "hash_map", "data", ("a hash map", "a hash table"),
        {
            "javascript": "type:Map", "java": "type:HashMap type:LinkedHashMap", "cpp": "type:unordered_map",
            "go": "node:map_type", "rust": "call:HashMap.new call:HashMap.from call:HashMap.with_capacity",
        },
    ),
    Fact(
        "ordered_map", "data", ("an ordered map", "a map that keeps its keys sorted"),
        {"java": "type:TreeMap", "rust": "call:BTreeMap.new", "cpp": "import:map&type:map"},
    ),
    Fact(
        "set", "data", ("a set", "a set of distinct values"),
        {
            "python": "call:set call:frozenset", "javascript": "type:Set", "java": "type:HashSet type:TreeSet type:LinkedHashSet",
            "cpp": "type:unordered_set type:set", "rust": "call:HashSet.new call:BTreeSet.new",
        },
    ),
    Fact("counter", "data", ("a `Counter`", "a counter of the values"), {"python": "call:Counter&import:collections "
         "call:collections.Counter"}),
    Fact("default_dictionary", "data", ("a `defaultdict`", "a dictionary with default values"),
         {"python": "call:defaultdict call:collections.defaultdict"}),
    Fact("dynamic_array", "data", ("a dynamic array", "an array that grows"), {"java": "type:ArrayList", "cpp": "type:vector"}),
    Fact("string_builder", "data", ("a string builder", "a `StringBuilder`"), {"java": "type:StringBuilder",
         "go": "type:strings.Builder"}),
    Fact("channels", "data", ("channels", "a channel"), {"go": "node:channel"}),
    Fact("dataclass", "data", ("a dataclass", "a class made by `dataclass`"),
         {"python": "decorator:dataclass decorator:dataclasses.dataclass"}),
    Fact("record", "data", ("a record", "a record class"), {"java": "node:record"}),
    Fact("enumeration", "data", ("an enumeration", "an enum"), {"java": "node:enum", "cpp": "node:enum", "rust": "node:enum"}),
    Fact("interface", "data", ("an interface", "an interface of its own"), {"java": "node:interface", "go": "node:interface"}),
    Fact("trait", "data", ("a trait", "a trait of its own"), {"rust": "node:interface"}),
    # what the code does besides
    Fact(
        "reads_standard_input", "detail", ("read the input from standard input", "take the input from standard input"),
        {
            "python": "call:input path:sys.stdin path:stdin.read path:stdin.readline path:stdin.readlines path:stdin.buffer",
            "rust": "call:io.stdin call:stdin",
            "cpp": "name:cin", "go": "path:os.Stdin", "java": "path:System.in", "javascript": "path:process.stdin",
        },
    ),
    Fact(
        "command_line", "detail", ("take its arguments from the command line", "read the command line's arguments"),
        {
            "python": "call:argparse.ArgumentParser path:sys.argv call:ArgumentParser", "go": "path:os.Args call:flag.Parse",
            "rust": "call:env.args", "javascript": "path:process.argv",
        },
    ),
    Fact(
        "reads_files", "detail", ("work on files", "open the files it needs"),
        {
            "python": "call:open", "java": "type:FileReader type:FileInputStream type:FileWriter call:Files.readAllLines "
            "call:Files.lines call:Files.readString", "go": "call:os.Open call:os.ReadFile call:os.Create",
            "cpp": "type:ifstream type:ofstream name:ifstream name:ofstream", "rust": "call:File.open call:fs.read_to_string",
            "javascript": "call:fs.readFile call:fs.readFileSync call:fs.writeFile call:fs.writeFileSync",
        },
    ),
    Fact(
        "json", "detail", ("read or write JSON", "handle JSON"),
        {
            "python": "call:json.loads call:json.dumps call:json.load call:json.dump", "javascript": "call:JSON.parse "
            "call:JSON.stringify", "go": "call:json.Marshal call:json.Unmarshal", "rust": "call:serde_json.from_str "
            "call:serde_json.to_string",
        },
    ),
    Fact(
        "http", "detail", ("talk HTTP", "send or answer HTTP requests"),
        {
            "python": "call:requests.get call:requests.post call:urllib.urlopen call:request.urlopen",
            "javascript": "call:fetch call:axios.get call:axios.post call:http.createServer",
            "go": "call:http.Get call:http.HandleFunc call:http.ListenAndServe", "java": "type:HttpURLConnection "
            "call:HttpClient.newHttpClient",
        },
    ),
    Fact(
        "random_numbers", "detail", ("draw random numbers", "use random numbers"),
        {
            "python": "call:random.random call:random.randint call:random.choice call:random.shuffle call:random.sample "
            "call:random.uniform call:random.choices", "javascript": "call:Math.random", "java": "type:Random call:Math.random",
            "go": "call:rand.Intn call:rand.Int call:rand.Float64", "cpp": "call:rand call:std.rand type:mt19937 name:mt19937",
            "rust": "call:rand.thread_rng",
        },
    ),
    Fact(
        "handles_errors", "detail", ("handle errors with `try`", "catch the errors that may occur"),
        {language: "node:try" for language in ("python", "javascript", "java", "cpp")},
    ),
    Fact("returns_error", "detail", ("return an `error`", "give back an `error` where it fails"), {"go": "node:result_error"}),
    Fact("returns_result", "detail", ("return a `Result`", "give back a `Result`"), {"rust": "returns:Result"}),
    Fact("returns_option", "detail", ("return an `Option`", "give back an `Option`"), {"rust": "returns:Option"}),
    Fact("defers", "detail", ("use `defer`", "defer a call with `defer`"), {"go": "node:defer"}),
    Fact(
        "context_manager", "detail", ("use a `with` statement", "work inside a `with` block"),
        {"python": "node:with"},
    ),
    Fact("type_hints", "detail", ("annotate the types", "write type hints"), {"python": "node:type_hint"}),
    Fact("formatted_strings", "detail", ("format its text with f-strings", "build text with f-strings"),
         {"python": "node:interpolation"}),
    Fact("template_literals", "detail", ("format its text with template literals", "build text with template literals"),
         {"javascript": "node:interpolation"}),
    Fact("main_guard", "detail", ('run as a script below `if __name__ == "__main__"`', "be runnable as a script"),
         {"python": "node:main_guard"}),
    Fact(
        "assertions", "detail", ("use `assert`", "include assertions"),
        {"python": "node:assert", "rust": "macro:assert_eq macro:assert", "cpp": "call:assert"},
    ),
    Fact(
        "prints", "detail", ("print to the console", "write its output to the console"),
        {
            "python": "call:print", "javascript": "call:console.log", "java": "call:out.println call:out.print call:out.printf",
            "go": "call:fmt.Println call:fmt.Printf call:fmt.Print", "cpp": "name:cout call:printf", "rust": "macro:println",
        },
    ),
)  # fmt: skip
