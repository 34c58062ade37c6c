cimport cython

from gateway.http1.message cimport Request
from gateway.pipe cimport Pipe


cdef class Leaf:
    cdef public object match
    cdef public Pipe pipe
    cdef public bint is_variable
    cdef public tuple conditions
    cdef public tuple rank
    cdef public object pattern


cdef class End:
    cdef public list leaves
    cdef public dict by_verb
    cdef public tuple other
    cdef public bint is_final


cdef class Node:
    cdef public dict fixed
    cdef public Node variable
    cdef public End rest
    cdef public End end


cdef class Search:
    cdef public Request request
    cdef public list segments
    cdef public object offered

    @cython.locals(segments=list)
    cpdef Leaf among(self, Tree tree, bytes path)

    @cython.locals(segments=list, count=int, variable=Node, below=Node, rest=End, found=Leaf)
    cpdef Leaf within(self, Node node, int place)

    @cython.locals(leaves=tuple, leaf=Leaf)
    cpdef Leaf at(self, End end)


cdef class Tree:
    cdef public Node root
    cdef public dict exact
    cdef public int depth


cdef class Matched:
    cdef object _pattern
    cdef list _segments
    cdef bytes _path


cdef class Router:
    cdef public Tree _any
    cdef tuple _any_alone
    cdef public dict _hosts
    cdef public dict _leaves

    @cython.locals(path=bytes, query=Py_ssize_t, end=End, leaves=tuple, leaf=Leaf)
    cpdef Pipe find(self, Request request)

    @cython.locals(search=Search, leaf=Leaf, tree=Tree)
    cdef Pipe _search(self, tuple trees, bytes path, Request request)
